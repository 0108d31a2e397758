//! Who may write a data folder, and how it is wiped.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, kafka, postgres};

/// The right to run a server on a data folder: one process at a time, given back when it ends in
/// whatever way.
///
/// The lock's file stays beside the data. So it also tells whose data it is: ours never lies without.
#[derive(Debug)]
pub(crate) struct Claim {
    #[expect(dead_code, reason = "held for its lock only")]
    lock: File,
    is_first: bool,
    data_dir: PathBuf,
}

impl Claim {
    /// Also makes the folder's parents.
    pub(crate) fn on(data_dir: &Path) -> Result<Self, Error> {
        if let Some(parent) = data_dir.parent() {
            create(parent)?;
        }
        let path = beside(data_dir, LOCK);
        let (file, is_first) = match OpenOptions::new().create_new(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(&path), false)
            }
            made => (made, true),
        };
        let lock = file.map_err(Error::io(format!("opening {path:?}")))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { lock, is_first, data_dir: data_dir.to_owned() }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::FolderInUse { folder: data_dir.to_owned() })
            }
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { doing: format!("locking {path:?}"), source })
            }
        }
    }

    /// Refuses data that lay here before any claim of ours, and takes this one back.
    pub(crate) fn refuse_foreign(&self) -> Result<(), Error> {
        if !self.is_first || is_empty(&real(&self.data_dir)) {
            return Ok(());
        }
        let lock = beside(&self.data_dir, LOCK);
        let _ = fs::remove_file(&lock);
        let why = format!("no {} beside it says that it is ours", lock.display());
        Err(Error::ForeignFolder { folder: self.data_dir.clone(), why })
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// Wipes what a server kept in `data_dir`, wherever it really lies, with its log; no data is no error.
///
/// A server that an earlier process left running there is ended first. Refuses a folder that another
/// process uses, and one that is neither Postgres's nor Kafka's.
pub fn remove(data_dir: &Path) -> Result<(), Error> {
    let wanted = absolute(data_dir)?;
    if wanted.symlink_metadata().is_err() {
        return Ok(());
    }
    let claim = Claim::on(&wanted)?;
    claim.refuse_foreign()?;
    let real = real(&wanted);
    if !(is_empty(&real) || postgres::wrote(&real) || kafka::wrote(&real)) {
        let why = "it is neither Postgres's nor Kafka's".to_owned();
        return Err(Error::ForeignFolder { folder: real, why });
    }
    let real_claim = if real == wanted { None } else { Some(Claim::on(&real)?) };
    postgres::stop_orphan(&real);
    kafka::stop_orphan(&real);
    wipe(&real)?;
    if real != wanted {
        fs::remove_file(&wanted).map_err(Error::io(format!("removing {wanted:?}")))?;
        let _ = fs::remove_file(beside(&real, LOCK));
    }
    for suffix in [LOG, LAST_LOG, LOCK] {
        let _ = fs::remove_file(beside(&wanted, suffix));
    }
    drop((claim, real_claim));
    Ok(())
}

/// Suffix of the file whose lock is the claim on a data folder.
const LOCK: &str = ".lock";
/// Suffix of the log that lies beside a data folder.
pub(crate) const LOG: &str = ".log";
/// Suffix of the log of the start before.
pub(crate) const LAST_LOG: &str = ".log.1";

/// The path with a suffix on its last part: `.saga/postgres` and `.log` give `.saga/postgres.log`.
pub(crate) fn beside(data_dir: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(data_dir);
    path.push(suffix);
    PathBuf::from(path)
}

/// Where the data lies when `wanted` is only a link to it.
pub(crate) fn real(wanted: &Path) -> PathBuf {
    let Ok(target) = fs::read_link(wanted) else { return wanted.to_owned() };
    // A relative one begins where the link lies.
    wanted.parent().map_or_else(|| target.clone(), |parent| parent.join(&target))
}

/// Servers change their working directory, so paths are made absolute at the edge.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path).map_err(Error::io(format!("resolving {path:?}")))?;
    // A trailing slash would change the meaning of `beside`.
    Ok(absolute.components().collect())
}

/// Makes the folder and its parents.
pub(crate) fn create(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io(format!("creating {folder:?}")))
}

/// Removes the folder with all that is in it; no folder is no error.
pub(crate) fn wipe(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { doing: format!("removing {folder:?}"), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
