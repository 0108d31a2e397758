//! A server as a child process: in its own process group, logging to a file, guarded by a watchdog.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Error;
use crate::folder::{LAST_LOG, LOG, beside};
use crate::watchdog::{ThrowAway, Watchdog};

const GLANCE: Duration = Duration::from_millis(10);
const ENDED_GLANCE: Duration = Duration::from_millis(200);
const LOG_TAIL_LINES: usize = 20;
/// How long a dropped server may take to end by itself.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// What tells one server from another when it is started and ended.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) server: &'static str,
    /// Ends it without regard to clients, its data fit for the next start.
    pub(crate) end: Signal,
    /// Its log lies beside this folder.
    pub(crate) log_beside: PathBuf,
    /// Removed when our process is gone.
    pub(crate) throw_away: Option<ThrowAway>,
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    manner: Manner,
    child: Child,
    log: PathBuf,
    /// Declared after the child: it is dismissed once the child is gone.
    _watchdog: Watchdog,
}

impl Process {
    /// The log of the start before is kept under another name.
    pub(crate) fn spawn(mut command: Command, manner: Manner) -> Result<Self, Error> {
        let server = manner.server;
        let log = beside(&manner.log_beside, LOG);
        let _ = fs::rename(&log, beside(&manner.log_beside, LAST_LOG));
        let out = File::create(&log).map_err(Error::io(format!("creating {log:?}")))?;
        let err = out.try_clone().map_err(Error::io(format!("opening {log:?}")))?;
        // In a group of its own, so that Ctrl-C reaches the owner first.
        command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = command.spawn().map_err(Error::io(format!("starting {server}")))?;
        match Watchdog::guard(child.id(), manner.end, manner.throw_away.as_ref()) {
            Ok(watchdog) => Ok(Self { manner, child, log, _watchdog: watchdog }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether a line of this start's log has the words.
    pub(crate) fn logged(&self, words: &str) -> bool {
        fs::read(&self.log).is_ok_and(|log| String::from_utf8_lossy(&log).contains(words))
    }

    /// Waits until the server says that it is ready; an error when it ends or takes too long.
    pub(crate) async fn until(
        &mut self,
        is_ready: impl Fn(&Self) -> bool,
        patience: Duration,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let server = self.manner.server;
        loop {
            if let Some(status) = self.exited() {
                let (status, log, tail) = (status.to_string(), self.log.clone(), self.log_tail());
                return Err(Error::Died { server, status, log, tail });
            }
            if is_ready(self) {
                return Ok(());
            }
            if started.elapsed() > patience {
                let (log, tail) = (self.log.clone(), self.log_tail());
                return Err(Error::NotReady { server, patience, log, tail });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits for an end that nobody here asked for, and tells of it.
    pub(crate) async fn ended(&mut self) -> Error {
        let status = loop {
            match self.exited() {
                Some(status) => break status.to_string(),
                None => tokio::time::sleep(ENDED_GLANCE).await,
            }
        };
        let server = self.manner.server;
        Error::Ended { server, status, log: self.log.clone(), tail: self.log_tail() }
    }

    /// Asks it to end with `signal`; less and less politely when it does not.
    pub(crate) async fn stop(&mut self, signal: Signal, patience: Duration) {
        for (signal, patience) in [(signal, patience), (self.manner.end, DROP_PATIENCE)] {
            self.send(signal);
            let started = Instant::now();
            while started.elapsed() < patience {
                if self.exited().is_some() {
                    return;
                }
                tokio::time::sleep(GLANCE).await;
            }
            tracing::warn!(server = self.manner.server, ?signal, "does not end");
        }
        self.kill();
    }

    /// Crashes it, and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn send(&mut self, signal: Signal) {
        // Its number is not anybody else's as long as nobody has waited for it.
        if self.exited().is_none()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines.get(tail..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.send(self.manner.end);
        let started = Instant::now();
        while self.exited().is_none() {
            if started.elapsed() > DROP_PATIENCE {
                return self.kill();
            }
            thread::sleep(GLANCE);
        }
    }
}
