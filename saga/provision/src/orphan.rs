//! Servers of an earlier process of ours that outlived it, found through the process id they left in
//! their data folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(20);

/// Ends the process named in the first line of `pid_file`, provided that its command line names
/// `data_dir`: after a reboot the number may be anybody's. Blocks until it is gone.
pub(crate) fn stop(pid_file: &Path, data_dir: &Path, signal: Signal) {
    let Some(pid) = pid_in(pid_file) else { return };
    if runs_on(pid, data_dir) {
        tracing::warn!(%pid, folder = %data_dir.display(), "ending a server left by an earlier process");
        let _ = kill(pid, signal);
        if !gone(pid, PATIENCE) {
            let _ = kill(pid, Signal::SIGKILL);
            gone(pid, PATIENCE);
        }
    } else if kill(pid, None).is_ok() {
        // The number belongs to somebody else by now, and Postgres would take him for its twin.
        let _ = fs::remove_file(pid_file);
    }
}

fn pid_in(pid_file: &Path) -> Option<Pid> {
    let content = fs::read_to_string(pid_file).ok()?;
    let pid = content.lines().next()?.trim().parse::<i32>().ok()?;
    (pid > 1).then_some(Pid::from_raw(pid))
}

/// Whether one of its arguments is the folder, or a path in it.
fn runs_on(pid: Pid, data_dir: &Path) -> bool {
    arguments(pid).iter().any(|argument| Path::new(argument).starts_with(data_dir))
}

/// Without `/proc`, an argument with a space falls apart, and its server is left alone.
fn arguments(pid: Pid) -> Vec<OsString> {
    let line = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => return split(&line, 0),
        Err(_) => Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output(),
    };
    line.map_or_else(|_| Vec::new(), |listed| split(listed.stdout.trim_ascii(), b' '))
}

fn split(line: &[u8], separator: u8) -> Vec<OsString> {
    let arguments = line.split(|byte| *byte == separator);
    arguments.map(|argument| OsStr::from_bytes(argument).to_owned()).collect()
}

fn gone(pid: Pid, patience: Duration) -> bool {
    let started = Instant::now();
    while kill(pid, None).is_ok() {
        if started.elapsed() > patience {
            return false;
        }
        thread::sleep(GLANCE);
    }
    true
}
