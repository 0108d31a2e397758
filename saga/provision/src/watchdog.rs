//! A small process beside each server that ends it when our own process is gone, even by `kill -9`.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::Error;

/// Guards one server until it is dropped. It sees our end as the end of its standard input: the pipe
/// is closed on exec, so no other child of ours can keep it open.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

/// What is of no use once the process that made it is gone.
#[derive(Clone, Debug)]
pub(crate) struct ThrowAway {
    pub(crate) data: PathBuf,
    /// The path that logs and lock are named after; mostly the same.
    pub(crate) named_after: PathBuf,
}

impl Watchdog {
    /// When our process is gone: sends `signal` to `pid`, kills it if that does not help, and then
    /// removes what is to be thrown away.
    pub(crate) fn guard(
        pid: u32,
        signal: Signal,
        throw_away: Option<&ThrowAway>,
    ) -> Result<Self, Error> {
        let signal = signal.as_str().trim_start_matches("SIG");
        Command::new("/bin/sh")
            .args(["-c", include_str!("watchdog.sh"), "saga-watchdog"])
            .args([&pid.to_string(), signal])
            .arg(throw_away.map_or(OsStr::new(""), |away| away.data.as_os_str()))
            .arg(throw_away.map_or(OsStr::new(""), |away| away.named_after.as_os_str()))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(Error::io("starting the watchdog of a server"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let dismissed =
            self.0.stdin.as_mut().is_some_and(|pipe| pipe.write_all(b"leave\n").is_ok());
        if !dismissed {
            // Its pipe is broken because it is gone already; killing makes sure of that.
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}
