//! A Postgres of our own over the programs that are on the machine, reachable on 127.0.0.1 only.

mod account;
mod binaries;
mod databases;

pub use databases::create_databases;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::folder::{self, Claim};
use crate::process::{Manner, Process};
use crate::watchdog::ThrowAway;
use crate::{Error, Progress, orphan, port, tool};
use account::Account;
use binaries::Binaries;

const SERVER: &str = "Postgres";
/// Reading back the write-ahead log after a crash under load takes its time.
const START_PATIENCE: Duration = Duration::from_secs(300);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const INITDB_PATIENCE: Duration = Duration::from_secs(120);
/// How long the processes of a crashed server may keep its shared memory.
const RELEASE_PATIENCE: Duration = Duration::from_secs(15);
const RELEASE_GLANCE: Duration = Duration::from_millis(100);
const PORT_ATTEMPTS: usize = 5;

/// How a Postgres is to be started; begin with [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Made on the first start. Its log lies beside it, with the suffix `.log`.
    pub data_dir: PathBuf,
    /// On 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Whether what was committed survives a crash of the machine, as it survives one of the server in
    /// any case; only throw-away data goes without.
    pub durable: bool,
    pub shared_buffers_mb: u32,
    /// Where `initdb` and `postgres` are, if not where they usually are.
    pub bin_dir: Option<PathBuf>,
    /// Whether the data is removed once our process is gone.
    pub throw_away: bool,
    /// Told when the data is not where it is looked for.
    pub progress: Progress,
}

impl Options {
    /// A durable one on a free port, with 512 MB of shared buffers.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            durable: true,
            shared_buffers_mb: 512,
            bin_dir: None,
            throw_away: false,
            progress: Progress::default(),
        }
    }
}

/// A running Postgres. It ends with this handle, and at the latest with our process.
#[derive(Debug)]
pub struct Postgres {
    // Ended before the claims on its folder are given back: fields drop in this order.
    process: Process,
    claims: Vec<Claim>,
    options: Options,
    data_dir: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes the data folder on the first start and returns when connections are accepted.
    ///
    /// A server that a killed process of ours left on this folder is ended first. As root the server
    /// runs as the owner of the data, else as `postgres` or `nobody`.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let started = Instant::now();
        let wanted = folder::absolute(&options.data_dir)?;
        let claim = Claim::on(&wanted)?;
        claim.refuse_foreign()?;
        let account = Account::for_data(&wanted)?;
        let data_dir = account::place(&wanted, account.as_ref(), &options.progress).await?;
        let mut claims = vec![claim];
        if data_dir != wanted {
            // A copy of the link leads to the same data.
            claims.push(Claim::on(&data_dir)?);
        }
        stop_orphan(&data_dir);
        let binaries = binaries::find(options.bin_dir.as_deref(), &data_dir).await?;
        if !wrote(&data_dir) {
            initialise(&binaries, account.as_ref(), &data_dir, options.durable).await?;
        }
        let wal_compression = binaries.wal_compression(account.as_ref(), &data_dir).await;
        let throw_away = options
            .throw_away
            .then(|| ThrowAway { data: data_dir.clone(), named_after: wanted.clone() });
        let manner =
            Manner { server: SERVER, end: Signal::SIGQUIT, log_beside: wanted, throw_away };

        let mut attempt = 0;
        loop {
            attempt += 1;
            let port = port::wanted_or_free(SERVER, options.port)?;
            let mut command = command(&binaries.postgres(), account.as_ref(), &data_dir);
            command.args(["-D".as_ref(), data_dir.as_os_str()]);
            for setting in settings(&options, port, wal_compression) {
                command.args(["-c", &setting]);
            }
            let mut process = Process::spawn(command, manner.clone())?;
            match process.until(|process| is_ready(process, &data_dir), START_PATIENCE).await {
                Ok(()) => {
                    let took_ms = started.elapsed().as_millis();
                    tracing::info!(port, took_ms, "postgres is ready");
                    return Ok(Self { process, claims, options, data_dir, port });
                }
                Err(Error::Died { tail, .. })
                    if tail.contains("shared memory block")
                        && started.elapsed() < RELEASE_PATIENCE =>
                {
                    tokio::time::sleep(RELEASE_GLANCE).await;
                }
                Err(Error::Died { tail, .. })
                    if tail.contains("Address already in use") && attempt < PORT_ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// For clients: the superuser `postgres`, no password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the server's first process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where the data really lies: not in the wanted folder when that cannot be reached by the user
    /// the server runs as.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Ends it in order: clients are cut off, everything is written.
    pub async fn stop(mut self) {
        self.process.stop(Signal::SIGINT, STOP_PATIENCE).await;
    }

    /// Waits until it ends without having been told to, and says how it ended.
    pub async fn ended(&mut self) -> Error {
        self.process.ended().await
    }

    /// Crashes it, as a test of what survives. The folder may be used by a new start afterwards.
    pub fn kill(&mut self) {
        self.process.kill();
        self.claims.clear();
    }

    /// Ends it if it still runs, and starts it again on the same data and port.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.stop(Signal::SIGINT, STOP_PATIENCE).await;
        self.claims.clear();
        *self = Self::start(Options { port: self.port, ..self.options.clone() }).await?;
        Ok(())
    }
}

/// Whether its programs are here, of the version that wrote the data.
pub(crate) async fn find_programs(options: &Options) -> Result<(), Error> {
    let data_dir = folder::real(&folder::absolute(&options.data_dir)?);
    binaries::find(options.bin_dir.as_deref(), &data_dir).await.map(|_| ())
}

/// Whether Postgres wrote this folder.
pub(crate) fn wrote(data_dir: &Path) -> bool {
    data_dir.join("PG_VERSION").is_file()
}

/// Ends a server that an earlier process left running on this folder.
pub(crate) fn stop_orphan(data_dir: &Path) {
    orphan::stop(&data_dir.join("postmaster.pid"), data_dir, Signal::SIGINT);
}

/// Made under another name first, so that a half-made one is never taken for data.
async fn initialise(
    binaries: &Binaries,
    account: Option<&Account>,
    data_dir: &Path,
    durable: bool,
) -> Result<(), Error> {
    if fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
        let why = "it has no PG_VERSION, but other files".to_owned();
        return Err(Error::ForeignFolder { folder: data_dir.to_owned(), why });
    }
    let new = folder::beside(data_dir, ".new");
    folder::wipe(&new)?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&new)
        .and_then(|()| account.map_or(Ok(()), |account| account.give(&new)))
        .map_err(Error::io(format!("creating {new:?}")))?;

    let mut initdb = command(&binaries.initdb(), account, &new);
    initdb.args(["-D".as_ref(), new.as_os_str()]);
    // macOS has no C.UTF-8. Postgres compares bytes itself where the order is `C`; whatever else is
    // called so, it asks the system for every comparison.
    let locale = if cfg!(target_os = "macos") { "--locale=C" } else { "--locale=C.UTF-8" };
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", locale, "--lc-collate=C"]);
    if !durable {
        initdb.arg("--no-sync");
    }
    tool::succeed(initdb, INITDB_PATIENCE).await?;
    let _ = fs::remove_dir(data_dir);
    fs::rename(&new, data_dir).map_err(Error::io(format!("renaming {new:?}")))?;
    fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700))
        .map_err(Error::io(format!("closing {data_dir:?} to others")))
}

fn command(program: &Path, account: Option<&Account>, within: &Path) -> Command {
    let mut command = Command::new(program);
    // Our own texts are searched in its log, so it speaks plainly.
    command.env("LC_ALL", "C").current_dir(within);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn settings(options: &Options, port: u16, wal_compression: &str) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        // Only TCP: a socket's folder would need rights and a short path.
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        format!("shared_buffers={}MB", options.shared_buffers_mb),
        "jit=off".to_owned(),
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
        "max_wal_size=8GB".to_owned(),
        format!("wal_compression={wal_compression}"),
        "checkpoint_timeout=15min".to_owned(),
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
        "lc_messages=C".to_owned(),
    ];
    let safety = if options.durable { "on" } else { "off" };
    // Without a sync a commit costs a write to the system's cache only, and survives a crash of the
    // server, so `synchronous_commit` stays on: without it a kill would lose what was answered.
    for name in ["fsync", "full_page_writes"] {
        settings.push(format!("{name}={safety}"));
    }
    settings
}

/// The file's eighth line is the state, its first the process: an old file tells of another one.
fn is_ready(process: &Process, data_dir: &Path) -> bool {
    let status = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    let mut lines = status.lines().map(str::trim);
    lines.next() == Some(process.pid().to_string().as_str()) && lines.nth(6) == Some("ready")
}
