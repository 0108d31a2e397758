//! What can go wrong between wanting a server and having one; every message says what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::prerequisites::Packages;

/// Why a server, a database or a folder could not be provided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no Postgres on this machine (looked in {looked_in}): install it \
         (`apt-get install postgresql`, `brew install postgresql@16`), name the folder of its \
         programs in PG_BIN, or use a running one with `--database-url`"
    )]
    NoPostgres { looked_in: String },
    #[error(
        "no Java 17 or newer on this machine ({found}): install it \
         (`apt-get install openjdk-17-jre-headless`, `brew install openjdk@17`), set JAVA_HOME, or \
         use a running Kafka with `--kafka host:port`"
    )]
    NoJava { found: String },
    #[error(
        "no Maven on this machine, and the jars of Apache Kafka are not in {cache:?} yet: install it \
         (`apt-get install maven`, `brew install maven`), or use a running Kafka with \
         `--kafka host:port`"
    )]
    NoMaven { cache: PathBuf },
    #[error(
        "not on this machine: {what}; install them (`apt-get install {apt}`, \
         `brew install {brew}`), or use running servers with `--database-url` and `--kafka host:port`"
    )]
    SeveralMissing { what: String, apt: String, brew: String },
    #[error(
        "Maven could not bring the jars of Apache Kafka: check the network and try again, or use a \
         running Kafka with `--kafka host:port`; Maven said:\n{output}"
    )]
    NoJars { output: String },
    #[error("{server} ended while starting ({status}); the end of {log:?}:\n{tail}")]
    Died { server: &'static str, status: String, log: PathBuf, tail: String },
    #[error("{server} ended by itself ({status}); the end of {log:?}:\n{tail}")]
    Ended { server: &'static str, status: String, log: PathBuf, tail: String },
    #[error("{server} was not ready within {patience:?}; the end of {log:?}:\n{tail}")]
    NotReady { server: &'static str, patience: Duration, log: PathBuf, tail: String },
    #[error(
        "port {port}, where {server} should listen, is taken: `ss -ltnp` or `lsof -i :{port}` tells \
         which process has it"
    )]
    PortTaken { server: &'static str, port: u16 },
    #[error("no free port between {from} and {to}: end some of the processes that listen there")]
    NoFreePort { from: u16, to: u16 },
    #[error(
        "{folder:?} is in use by another process: stop that one (`saga down`) or choose another \
         data folder"
    )]
    FolderInUse { folder: PathBuf },
    #[error(
        "{folder:?} exists and is not a data folder of ours ({why}): choose another folder, or move \
         it away"
    )]
    ForeignFolder { folder: PathBuf, why: String },
    #[error(
        "{folder:?} was written by Postgres {written}, and this machine has {found}: install \
         Postgres {written}, or start over with `--fresh`"
    )]
    OtherVersion { folder: PathBuf, written: String, found: String },
    #[error("{tool} ended with {status}:\n{output}")]
    Tool { tool: String, status: String, output: String },
    #[error("{tool} did not end within {patience:?}")]
    ToolHangs { tool: String, patience: Duration },
    #[error("neither user \"postgres\" nor \"nobody\" exists, and Postgres does not run as root")]
    NoAccount,
    #[error("{doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("{doing}")]
    Sql {
        doing: String,
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    /// What to install, where that is what helps.
    pub(crate) fn packages(&self) -> Option<Packages> {
        let (of, apt, brew) = if matches!(self, Self::NoPostgres { .. }) {
            ("Postgres", "postgresql", "postgresql@16")
        } else if matches!(self, Self::NoJava { .. }) {
            ("Java 17 or newer", "openjdk-17-jre-headless", "openjdk@17")
        } else if matches!(self, Self::NoMaven { .. }) {
            ("Maven", "maven", "maven")
        } else {
            return None;
        };
        Some(Packages { of, apt, brew })
    }

    /// For `map_err`: says what was attempted when the system answered with an error.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing: doing.into(), source }
    }

    /// For `map_err`: says what was asked of the database.
    pub(crate) fn sql(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { doing: doing.into(), source }
    }
}
