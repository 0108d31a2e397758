//! The broker's jars, brought once by Maven from the committed pom and kept in the user's cache.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Options;
use super::java::Java;
use super::launch;
use crate::{Error, Progress, folder, port, tool};

const POM: &str = include_str!("../../kafka/pom.xml");
/// Of the pom's broker; another version is another folder.
const FOLDER: &str = "kafka-4.3.1";
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
    let cache = folder::absolute(&options.cache_dir.clone().unwrap_or_else(usual_cache))?;
    let home = cache.join(FOLDER);
    let archive = home.join(format!("java-{}.jsa", java.version));
    if home.is_dir() && archive.is_file() {
        return Ok(Jars { class_path: class_path(&home)?, archive: Some(archive) });
    }

    folder::create(&cache)?;
    let _lock = lock(cache.join(format!("{FOLDER}.lock")), &options.progress).await?;
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

async fn bring(cache: &Path, home: &Path, options: &Options) -> Result<(), Error> {
    let started = Instant::now();
    let maven = match &options.maven {
        Some(wanted) => Some(wanted.to_owned()).filter(|wanted| wanted.is_file()),
        None => tool::on_path("mvn"),
    };
    let maven = maven.ok_or_else(|| Error::NoMaven { cache: cache.to_owned() })?;
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

fn class_path(home: &Path) -> Result<OsString, Error> {
    let libs = home.join("libs");
    let entries = fs::read_dir(&libs).map_err(Error::io(format!("reading {libs:?}")))?;
    let mut jars: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    jars.sort();
    std::env::join_paths(jars).map_err(|error| Error::Io {
        doing: format!("naming {libs:?} in a class path"),
        source: std::io::Error::other(error),
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
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(Error::io(format!("locking {path:?}")))
}

fn usual_cache() -> PathBuf {
    let folder = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("saga")
}
