//! An Apache Kafka of our own: one node (KRaft) on the machine's Java, reachable on 127.0.0.1 only.

mod greeting;
mod jars;
mod java;
mod launch;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::folder::{self, Claim};
use crate::process::{Manner, Process};
use crate::watchdog::ThrowAway;
use crate::{Error, Progress, orphan, port};
use launch::Launch;

const SERVER: &str = "Kafka";
const START_PATIENCE: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const PORT_ATTEMPTS: usize = 5;
/// The line the broker logs when it takes requests.
const STARTED: &str = "Kafka Server started";

/// How a Kafka is to be started; begin with [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Made on the first start. Its log lies beside it, with the suffix `.log`.
    pub data_dir: PathBuf,
    /// On 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// What the broker may use for objects; 128 is the least it starts with.
    pub heap_mb: u32,
    /// Java's home or its `java` program, if not JAVA_HOME, PATH or the usual places.
    pub java: Option<PathBuf>,
    /// The `mvn` program, if not the one on PATH.
    pub maven: Option<PathBuf>,
    /// Where the jars are kept; the user's cache folder if not given.
    pub cache_dir: Option<PathBuf>,
    /// Whether the data is removed once our process is gone.
    pub throw_away: bool,
    /// Told of what is done once on a machine, and takes long.
    pub progress: Progress,
}

impl Options {
    /// One that lasts, on a free port, with a heap of 512 MB.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            heap_mb: 512,
            java: None,
            maven: None,
            cache_dir: None,
            throw_away: false,
            progress: Progress::default(),
        }
    }
}

/// A running Kafka. It ends with this handle, and at the latest with our process.
#[derive(Debug)]
pub struct Kafka {
    // Ended before the claim on its folder is given back: fields drop in this order.
    process: Process,
    claim: Option<Claim>,
    options: Options,
    data_dir: PathBuf,
    port: u16,
}

impl Kafka {
    /// Brings the jars through Maven if the cache has none, formats the data folder on the first
    /// start, and returns when the broker takes requests.
    ///
    /// A broker that a killed process of ours left on this folder is ended first.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let started = Instant::now();
        let data_dir = folder::absolute(&options.data_dir)?;
        let java = java::find(options.java.as_deref()).await?;
        let jars = jars::find_or_bring(&options, &java).await?;
        let claim = Claim::on(&data_dir)?;
        claim.refuse_foreign()?;
        stop_orphan(&data_dir);
        folder::create(&data_dir)?;
        let throw_away = options
            .throw_away
            .then(|| ThrowAway { data: data_dir.clone(), named_after: data_dir.clone() });
        let manner = Manner {
            server: SERVER,
            end: Signal::SIGTERM,
            log_beside: data_dir.clone(),
            throw_away,
        };

        let mut attempt = 0;
        loop {
            attempt += 1;
            let launch = Launch {
                java: &java,
                jars: &jars,
                data_dir: &data_dir,
                port: port::wanted_or_free(SERVER, options.port)?,
                controller_port: port::free()?,
            };
            launch.prepare().await?;
            let broker = launch.broker(options.heap_mb);
            let mut process = Process::spawn(broker, manner.clone())?;
            launch::leave_pid(&data_dir, process.pid())?;
            match process.until(|process| process.logged(STARTED), START_PATIENCE).await {
                Ok(()) => {
                    let port = launch.port;
                    greeting::ask_for_a_coordinator(port).await?;
                    let took_ms = started.elapsed().as_millis();
                    tracing::info!(port, took_ms, "kafka is ready");
                    return Ok(Self { process, claim: Some(claim), options, data_dir, port });
                }
                Err(Error::Died { tail, .. })
                    if tail.contains("Address already in use") && attempt < PORT_ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// For clients: `127.0.0.1:PORT`.
    pub fn brokers(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        self.process.stop(Signal::SIGTERM, STOP_PATIENCE).await;
    }

    /// Waits until it ends without having been told to, and says how it ended.
    pub async fn ended(&mut self) -> Error {
        self.process.ended().await
    }

    /// Crashes it, as a test of what survives. The folder may be used by a new start afterwards.
    pub fn kill(&mut self) {
        self.process.kill();
        self.claim = None;
    }

    /// Ends it if it still runs, and starts it again on the same data and port.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.stop(Signal::SIGTERM, STOP_PATIENCE).await;
        self.claim = None;
        *self = Self::start(Options { port: self.port, ..self.options.clone() }).await?;
        Ok(())
    }
}

/// Whether Java is here, and Maven where it is needed.
pub(crate) async fn find_programs(options: &Options) -> [Result<(), Error>; 2] {
    [java::find(options.java.as_deref()).await.map(|_| ()), jars::can_be_brought(options)]
}

/// Whether Kafka wrote this folder.
pub(crate) fn wrote(data_dir: &Path) -> bool {
    data_dir.join(launch::PROPERTIES).is_file()
}

/// Ends a broker that an earlier process left running on this folder.
pub(crate) fn stop_orphan(data_dir: &Path) {
    orphan::stop(&data_dir.join(launch::PID), data_dir, Signal::SIGTERM);
}
