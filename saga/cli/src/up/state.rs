//! Which system runs on a data folder: a lock that ends with its process, and a file that says
//! where it is.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    clients::Addresses,
    failure::Failure,
    output::{Tone, paint, talk},
};

/// A system that runs, or is starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) version: String,
    #[serde(with = "time::serde::rfc3339", alias = "started_at")]
    pub(crate) started_at: OffsetDateTime,
    pub(crate) ready: bool,
    /// It was told to stop, or a part of it has ended.
    #[serde(default)]
    pub(crate) stopping: bool,
    #[serde(alias = "data_dir")]
    pub(crate) data_dir: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) kafka: String,
    #[serde(alias = "database_url")]
    pub(crate) database_url: String,
    /// Of every topic.
    pub(crate) partitions: Option<i32>,
    /// What was said while starting, for whoever waits for it.
    pub(crate) progress: Vec<String>,
}

impl Running {
    fn write(&self) -> io::Result<()> {
        write(&self.data_dir, STATE, self)
    }
}

/// Written beside and renamed, so that nobody reads half of it.
fn write(data_dir: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let new = data_dir.join(format!("{name}.new"));
    fs::write(&new, serde_json::to_vec_pretty(value)?)?;
    fs::rename(new, data_dir.join(name))
}

/// What there is on a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Running(Box<Running>),
    /// Of a process that ended without clearing up.
    Stale(Box<Running>),
    /// A process holds the folder and does not say more: it has just begun, or is about to end.
    Held,
}

/// Looks without touching anything.
pub(crate) fn look(data_dir: &Path) -> Found {
    let state = fs::read(data_dir.join(STATE))
        .ok()
        .and_then(|text| serde_json::from_slice::<Running>(&text).ok())
        .map(Box::new);
    match (state, is_claimed(data_dir)) {
        (Some(running), true) => Found::Running(running),
        (Some(running), false) => Found::Stale(running),
        (None, true) => Found::Held,
        (None, false) => Found::Nothing,
    }
}

/// Whether a process holds the folder, which it does until it has ended.
pub(crate) fn is_claimed(data_dir: &Path) -> bool {
    let Ok(lock) = File::open(lock_path(data_dir)) else { return false };
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// What the process holds.
pub(crate) fn lock_path(data_dir: &Path) -> PathBuf {
    data_dir.join(LOCK)
}

/// Clears up after a process that could not.
pub(crate) fn forget(data_dir: &Path) {
    let _ = fs::remove_file(data_dir.join(STATE));
}

/// Where the system on this folder listens when it runs, once it has run.
pub(crate) fn last_addresses(data_dir: &Path) -> Option<Addresses> {
    serde_json::from_slice(&fs::read(data_dir.join(ADDRESSES)).ok()?).ok()
}

const STATE: &str = "up.json";
const ADDRESSES: &str = "addresses.json";
const LOCK: &str = "up.lock";

/// The right to run a system on a data folder, and the file that tells others of it.
#[derive(Debug)]
pub(crate) struct Claim {
    _lock: File,
    running: Mutex<Running>,
    began_at: Instant,
}

impl Claim {
    /// Nothing when another process holds the folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn on(data_dir: &Path, addresses: Addresses) -> Result<Option<Self>, Failure> {
        let cannot = |error: io::Error| {
            Failure::new(format!("cannot write {}", data_dir.display()))
                .why(error.to_string())
                .next("choose another folder with --data-dir")
        };
        fs::create_dir_all(data_dir).map_err(cannot)?;
        let data_dir = fs::canonicalize(data_dir).map_err(cannot)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock_path(&data_dir))
            .map_err(cannot)?;
        if !acquire(&lock).map_err(cannot)? {
            return Ok(None);
        }
        let running = Running {
            pid: nix::unistd::getpid().as_raw(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: OffsetDateTime::now_utc(),
            ready: false,
            stopping: false,
            data_dir,
            addresses,
            kafka: String::new(),
            database_url: String::new(),
            partitions: None,
            progress: Vec::new(),
        };
        let claim = Self { _lock: lock, running: Mutex::new(running), began_at: Instant::now() };
        claim.lock().write().map_err(cannot)?;
        Ok(Some(claim))
    }

    pub(crate) fn running(&self) -> Running {
        self.lock().clone()
    }

    /// Says what was reached, here and to whoever waits in another process.
    pub(crate) fn progress(&self, text: &str) {
        self.say(Tone::Good, "✓", text);
    }

    /// Says what is being done, and takes long.
    pub(crate) fn under_way(&self, text: &str) {
        self.say(Tone::Dim, "…", text);
    }

    fn say(&self, tone: Tone, mark: &str, text: &str) {
        let at = format!("{:>6.1} s", self.began_at.elapsed().as_secs_f64());
        talk(&format!("{} {} {text}", paint(Tone::Dim, &at), paint(tone, mark)));
        self.change(|running| running.progress.push(format!("{at} {mark} {text}")));
    }

    /// Changes what others read; when they cannot be told, they find out by themselves.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Running)) {
        let mut running = self.lock();
        change(&mut running);
        if let Err(error) = running.write() {
            tracing::warn!(%error, "cannot write the state of the system");
        }
    }

    /// Says that it can be used. The folder remembers where it is.
    pub(crate) fn ready(&self) {
        self.change(|running| running.ready = true);
        let running = self.lock();
        if let Err(error) = write(&running.data_dir, ADDRESSES, &running.addresses) {
            tracing::warn!(%error, "cannot remember where the system is");
        }
    }

    /// Says that it is not to be counted on any more.
    pub(crate) fn stopping(&self) {
        self.change(|running| {
            running.ready = false;
            running.stopping = true;
        });
    }

    /// Takes back what others read; the lock goes with this process or this value.
    pub(crate) fn release(&self) {
        forget(&self.lock().data_dir);
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is ours. Tries for a moment: whoever just looks holds it, too, but not for long.
fn acquire(lock: &File) -> io::Result<bool> {
    let asked_at = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if asked_at.elapsed() < ACQUIRE_PATIENCE => {
                std::thread::sleep(ACQUIRE_GLANCE);
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

const ACQUIRE_PATIENCE: Duration = Duration::from_millis(300);
const ACQUIRE_GLANCE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
