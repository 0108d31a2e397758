//! The system in a process of its own that outlives the terminal, and its end.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use serde::Serialize;

use super::{
    health::{Health, check},
    state::{Found, Running, forget, is_claimed, lock_path, look},
};
use crate::{args::Global, failure::Failure, output::talk};

/// Starts this program again in the background and returns when everything is ready.
pub(super) async fn start(data_dir: &Path) -> Result<Running, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new("cannot start in the background").why(error.to_string())
    };
    fs::create_dir_all(data_dir).map_err(cannot)?;
    let log_path = log_path(data_dir);
    keep_old_logs(data_dir);
    let log = File::create(&log_path).map_err(cannot)?;
    // Before there is anything that Ctrl-C must not leave behind.
    let stop = bootstrap::stop_signal();
    let again: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut child = Command::new(std::env::current_exe().map_err(cannot)?)
        .args(again)
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(cannot)?)
        .stderr(log)
        // Ctrl-C in this terminal is not meant for it.
        .process_group(0)
        .spawn()
        .map_err(cannot)?;

    let pid = i32::try_from(child.id()).unwrap_or_default();
    let mut listener = Listener::default();
    loop {
        if let Found::Running(running) = look(data_dir)
            && running.pid == pid
            && listener.hears_ready(&running)
        {
            let log = log_path.display();
            talk(&format!("process {pid} goes on in the background; log: {log}"));
            return Ok(*running);
        }
        if let Some(status) = child.try_wait().map_err(cannot)? {
            if status.success() {
                // It found that another one had begun just before, and joined it.
                return until_ready(data_dir).await;
            }
            return Err(ended_early(&log_path, status));
        }
        tokio::select! {
            () = tokio::time::sleep(GLANCE) => {}
            () = stop.cancelled() => return Err(stopped_early(&mut child, pid).await),
        }
    }
}

/// What was begun here is not left behind half started.
async fn stopped_early(child: &mut Child, pid: i32) -> Failure {
    talk(&format!("stopping process {pid}, which was starting the system …"));
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    let asked_at = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if asked_at.elapsed() > STOP_PATIENCE {
            return did_not_stop(pid);
        }
        tokio::time::sleep(GLANCE).await;
    }
    Failure::new("stopped while starting")
}

fn did_not_stop(pid: i32) -> Failure {
    Failure::new(format!("process {pid} did not stop within {STOP_PATIENCE:?}"))
        .next(format!("end it with `kill -9 {pid}`"))
}

/// The system that runs on the folder, if one does; one that is about to end is waited for.
///
/// # Errors
/// It does not end.
pub(crate) async fn lasting(data_dir: &Path) -> Result<Option<Running>, Failure> {
    let asked_at = Instant::now();
    let mut told = false;
    loop {
        let running = match look(data_dir) {
            Found::Running(running) => running,
            Found::Nothing | Found::Stale(_) => return Ok(None),
            Found::Held => {
                until_held_no_more(data_dir).await?;
                continue;
            }
        };
        // A process that was killed holds its folder, and its ports, a moment longer.
        let is_ending = running.stopping || (running.ready && is_silent(&running).await);
        if !is_ending {
            return Ok(Some(*running));
        }
        if asked_at.elapsed() > STOP_PATIENCE {
            return Err(did_not_stop(running.pid));
        }
        if !std::mem::replace(&mut told, true) {
            let does = if running.stopping { "is stopping" } else { "does not answer" };
            talk(&format!("process {} {does}: waiting for its end", running.pid));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Waits for the process that has just begun, or is about to end, until it says so or has ended.
///
/// # Errors
/// It does neither.
async fn until_held_no_more(data_dir: &Path) -> Result<(), Failure> {
    let asked_at = Instant::now();
    while look(data_dir) == Found::Held {
        if asked_at.elapsed() > HELD_PATIENCE {
            let lock = lock_path(data_dir);
            let what = format!("a process holds {} and does not say which it is", lock.display());
            return Err(Failure::of_code(tonic::Code::FailedPrecondition, what)
                .why("what it wrote beside the lock is gone, or of another version")
                .next(format!(
                    "`fuser {}` tells which it is; end it with `kill`",
                    lock.display()
                )));
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}

/// Nobody answers where the services should be.
async fn is_silent(running: &Running) -> bool {
    let asked = running.addresses.named().map(|(_, address)| check(address));
    let answers = futures::future::join_all(asked).await;
    answers.iter().all(|health| matches!(health, Health::Down(_)))
}

/// Waits for a system that another process starts, and tells of its progress.
///
/// # Errors
/// That process gives up.
pub(super) async fn until_ready(data_dir: &Path) -> Result<Running, Failure> {
    let mut listener = Listener::default();
    while let Found::Running(running) = look(data_dir) {
        if listener.hears_ready(&running) {
            return Ok(*running);
        }
        tokio::time::sleep(GLANCE).await;
    }
    Err(Failure::new("the process that was starting the system has stopped")
        .next("where it was started, or in its log, it says why"))
}

/// Tells each piece of another process's progress once; of a system that is ready there is none.
#[derive(Debug, Default)]
struct Listener {
    told: Option<usize>,
}

impl Listener {
    fn hears_ready(&mut self, running: &Running) -> bool {
        if running.ready && self.told.is_none() {
            return true;
        }
        let told = self.told.unwrap_or_default();
        running.progress.iter().skip(told).for_each(|line| talk(line));
        self.told = Some(running.progress.len());
        running.ready
    }
}

/// The failure of that process with its exit code, as if it had happened here; where it told none,
/// the end of its log.
fn ended_early(log: &Path, status: ExitStatus) -> Failure {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let exit_code = status.code().and_then(|code| u8::try_from(code).ok());
    if let Some(failure) = exit_code.and_then(|code| Failure::retold(&text, code)) {
        talk(&format!("it could not start; the whole log is {}", log.display()));
        return failure;
    }
    let lines: Vec<_> = text.lines().collect();
    let failure = Failure::new(format!("the system did not start ({status})"));
    let last = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
    last.fold(failure, |failure, line| failure.why(*line))
        .next(format!("the whole log is {}", log.display()))
}

/// What the process in the background writes.
pub(super) fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.join(LOG)
}

/// Makes room for a new log; the latest of the old ones is `saga.log.1`.
fn keep_old_logs(data_dir: &Path) {
    let old = |number: u32| data_dir.join(format!("{LOG}.{number}"));
    for number in (1..OLD_LOGS).rev() {
        let _ = fs::rename(old(number), old(number + 1));
    }
    let _ = fs::rename(log_path(data_dir), old(1));
}

const LOG: &str = "saga.log";
/// So many starts that fail, in a row, leave the log of the crash before them.
const OLD_LOGS: u32 = 5;
const LOG_LINES: usize = 12;

/// Stops the system that runs on the data folder; none is no error.
pub(crate) async fn down(global: &Global) -> Result<(), Failure> {
    let data_dir = &global.data_dir;
    let running = match look(data_dir) {
        Found::Running(running) => running,
        Found::Stale(running) => {
            forget(data_dir);
            talk(&format!("process {} had ended without clearing up", running.pid));
            return tell_stopped(None, global);
        }
        Found::Nothing => return tell_stopped(None, global),
        Found::Held => {
            until_held_no_more(data_dir).await?;
            return Box::pin(down(global)).await;
        }
    };
    talk(&format!("stopping process {} …", running.pid));
    kill(Pid::from_raw(running.pid), Signal::SIGTERM).map_err(|error| {
        Failure::new(format!("cannot stop process {}", running.pid)).why(error.to_string())
    })?;
    let asked_at = Instant::now();
    while is_claimed(data_dir) {
        if asked_at.elapsed() > STOP_PATIENCE {
            return Err(did_not_stop(running.pid));
        }
        tokio::time::sleep(GLANCE).await;
    }
    tell_stopped(Some(running.pid), global)
}

/// What was stopped, if anything was.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped<'a> {
    pid: Option<i32>,
    data_dir: &'a Path,
}

fn tell_stopped(pid: Option<i32>, global: &Global) -> Result<(), Failure> {
    let data_dir = global.data_dir.as_path();
    global.output.value(&Stopped { pid, data_dir }, || match pid {
        Some(_) => "stopped; the data stays".to_owned(),
        None => format!("nothing is running on {}", data_dir.display()),
    })
}

const GLANCE: Duration = Duration::from_millis(50);
const HELD_PATIENCE: Duration = Duration::from_secs(3);
/// Services, Kafka and Postgres each have a deadline of their own.
const STOP_PATIENCE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
