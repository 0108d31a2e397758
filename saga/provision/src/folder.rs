//! Who may write a data folder, and how it is wiped.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, kafka, postgres};

/// The right to run a server on a data folder: one process at a time, given back when it ends in
/// whatever way.
#[derive(Debug)]
pub(crate) struct Claim(#[expect(dead_code, reason = "held for its lock only")] File);

impl Claim {
    /// Also makes the folder's parents.
    pub(crate) fn on(data_dir: &Path) -> Result<Self, Error> {
        if let Some(parent) = data_dir.parent() {
            create(parent)?;
        }
        let path = beside(data_dir, ".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(format!("opening {path:?}")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Error::FolderInUse { folder: data_dir.to_owned() })
            }
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { doing: format!("locking {path:?}"), source })
            }
        }
    }
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
    let real = real(&wanted);
    let is_empty = fs::read_dir(&real).map_or(true, |mut entries| entries.next().is_none());
    if !(is_empty || postgres::wrote(&real) || kafka::wrote(&real)) {
        let why = "it is neither Postgres's nor Kafka's".to_owned();
        return Err(Error::ForeignFolder { folder: real, why });
    }
    postgres::stop_orphan(&real);
    kafka::stop_orphan(&real);
    wipe(&real)?;
    if real != wanted {
        fs::remove_file(&wanted).map_err(Error::io(format!("removing {wanted:?}")))?;
    }
    for suffix in [LOG, LAST_LOG, ".lock"] {
        let _ = fs::remove_file(beside(&wanted, suffix));
    }
    drop(claim);
    Ok(())
}

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
    fs::read_link(wanted).unwrap_or_else(|_| wanted.to_owned())
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
