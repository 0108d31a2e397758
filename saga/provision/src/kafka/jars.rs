//! The broker's jars, brought once by Maven from the committed pom and kept in the user's cache.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use super::Options;
use super::java::Java;
use super::launch;
use crate::{Error, Progress, folder, port, tool};

const POM: &str = include_str!("../../kafka/pom.xml");
/// Of the pom's broker; another version is another folder.
pub(crate) const FOLDER: &str = "kafka-4.3.1";
const MAVEN_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What Java needs to run the broker.
#[derive(Debug)]
pub(crate) struct Jars {
    /// In a fixed order: the archive of classes fits only the class path it was made with.
    pub(crate) class_path: OsString,
    /// Loaded classes as a memory image: the broker is ready in two thirds of the time.
    pub(crate) archive: Option<PathBuf>,
}

/// Several processes may ask at the same time; one of them does the work.
pub(crate) async fn find_or_bring(options: &Options, java: &Java) -> Result<Jars, Error> {
    let cache = cache(options)?;
    let home = cache.join(FOLDER);
    let archive = home.join(format!("java-{}.jsa", java.version));
    if home.is_dir() && archive.is_file() {
        return Ok(Jars { class_path: class_path(&home)?, archive: Some(archive) });
    }

    folder::create(&cache)?;
    let _lock = lock(cache.join(format!("{FOLDER}.lock")), &options.progress).await?;
    sweep(&cache);
    if !home.is_dir() {
        bring(&cache, &home, options).await?;
    }
    let class_path = class_path(&home)?;
    if !archive.is_file() {
        options.progress.tell("preparing Apache Kafka for quick starts, once");
        let jars = Jars { class_path: class_path.clone(), archive: None };
        if let Err(error) = launch::archive_classes(java, &jars, &cache, &archive).await {
            tracing::debug!(%error, "kafka starts without an archive of its classes");
            return Ok(jars);
        }
    }
    Ok(Jars { class_path, archive: Some(archive) })
}

/// Whether the jars are here, or Maven is, which brings them.
pub(crate) fn can_be_brought(options: &Options) -> Result<(), Error> {
    let cache = cache(options)?;
    if cache.join(FOLDER).is_dir() { Ok(()) } else { maven(options, &cache).map(|_| ()) }
}

/// Removes what was begun by a process that did not come to its end: the lock is ours now.
fn sweep(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&format!("{FOLDER}."))
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            let _ = folder::wipe(&entry.path());
        }
    }
}

async fn bring(cache: &Path, home: &Path, options: &Options) -> Result<(), Error> {
    let started = Instant::now();
    let maven = maven(options, cache)?;
    options.progress.tell("bringing Apache Kafka through Maven, once (45 MB)");

    let new = cache.join(format!("{FOLDER}.{:x}", port::random()));
    folder::create(&new)?;
    let pom = new.join("pom.xml");
    fs::write(&pom, POM).map_err(Error::io(format!("writing {pom:?}")))?;
    let mut copy = Command::new(maven);
    copy.args(["-q", "-B", "-f"]).arg(&pom);
    copy.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    copy.arg(format!("-DoutputDirectory={}", new.join("libs").display()));
    let brought = match tool::run(copy, MAVEN_PATIENCE).await {
        Ok(output) if output.status.success() => {
            fs::rename(&new, home).map_err(Error::io(format!("renaming {new:?}")))
        }
        Ok(output) => Err(Error::NoJars { output: tool::said(&output) }),
        Err(error) => Err(error),
    };
    if brought.is_err() {
        let _ = folder::wipe(&new);
    }
    tracing::debug!(took_ms = started.elapsed().as_millis(), "maven is done");
    brought
}

fn maven(options: &Options, cache: &Path) -> Result<PathBuf, Error> {
    let maven = match &options.maven {
        Some(wanted) => Some(wanted.to_owned()).filter(|wanted| wanted.is_file()),
        None => tool::on_path("mvn"),
    };
    maven.ok_or_else(|| Error::NoMaven { cache: cache.to_owned() })
}

fn class_path(home: &Path) -> Result<OsString, Error> {
    let libs = home.join("libs");
    let entries = fs::read_dir(&libs).map_err(Error::io(format!("reading {libs:?}")))?;
    let mut jars: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    jars.sort();
    std::env::join_paths(jars).map_err(|error| Error::Io {
        doing: format!("naming {libs:?} in a class path"),
        source: io::Error::other(error),
    })
}

async fn lock(path: PathBuf, progress: &Progress) -> Result<File, Error> {
    let file = File::create(&path).map_err(Error::io(format!("creating {path:?}")))?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    progress.tell("waiting for another process that is bringing Apache Kafka");
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(Error::io(format!("locking {path:?}")))
}

fn cache(options: &Options) -> Result<PathBuf, Error> {
    let folder = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let usual =
        || folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    match options.cache_dir.clone().or_else(|| usual().map(|cache| cache.join("saga"))) {
        Some(cache) => folder::absolute(&cache),
        None => ours_alone(std::env::temp_dir().join(format!("saga-{}", geteuid()))),
    }
}

/// The jars are executed, so a folder that anybody may make is taken only if nobody else can write
/// to it.
fn ours_alone(folder: PathBuf) -> Result<PathBuf, Error> {
    if let Err(source) = fs::DirBuilder::new().mode(0o700).create(&folder)
        && source.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(Error::Io { doing: format!("creating {folder:?}"), source });
    }
    let found = folder.symlink_metadata().map_err(Error::io(format!("looking at {folder:?}")))?;
    if found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0 {
        return Ok(folder);
    }
    let why = "it is not ours alone".to_owned();
    Err(Error::ForeignFolder { folder, why })
}

#[cfg(test)]
mod tests;
