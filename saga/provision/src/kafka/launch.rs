//! The command lines of Java that format a data folder, run a broker on it, and archive its classes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::jars::{FOLDER, Jars};
use super::java::Java;
use super::{SERVER, START_PATIENCE, STARTED};
use crate::process::{Manner, Process};
use crate::watchdog::ThrowAway;
use crate::{Error, folder, port, tool};

/// Names inside a data folder.
pub(crate) const PROPERTIES: &str = "server.properties";
pub(crate) const PID: &str = "kafka.pid";
/// Written last when formatting: a folder without it is formatted anew.
const CLUSTER_ID: &str = "cluster-id";
const RECORDS: &str = "records";

const FORMAT_PATIENCE: Duration = Duration::from_secs(60);
/// Writing the archive is the last thing Java does.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(90);
/// After a crash the node waits this long until it believes that its former self is gone; 9 s is
/// Kafka's own choice, for nodes that a network may part.
const BROKER_SESSION_MS: u32 = 3_000;
const BROKER_HEARTBEAT_MS: u32 = 500;
const SERIAL_GC: &str = "-XX:+UseSerialGC";
/// The optimizing compiler takes a core for a minute or two, and pays only for a broker that is busy
/// for much longer.
const QUICK_COMPILER: &str = "-XX:TieredStopAtLevel=1";

/// One start of a broker.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) java: &'a Java,
    pub(crate) jars: &'a Jars,
    pub(crate) data_dir: &'a Path,
    pub(crate) port: u16,
    /// Where the node talks to itself.
    pub(crate) controller_port: u16,
}

impl Launch<'_> {
    /// Writes the properties, and formats the folder on the first start.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        let properties = self.data_dir.join(PROPERTIES);
        fs::write(&properties, self.properties())
            .map_err(Error::io(format!("writing {properties:?}")))?;
        let cluster_id_file = self.data_dir.join(CLUSTER_ID);
        if cluster_id_file.is_file() {
            return Ok(());
        }

        folder::wipe(&self.data_dir.join(RECORDS))?;
        let cluster_id = new_cluster_id();
        let mut format = self.java();
        format.args(["kafka.tools.StorageTool", "format"]);
        format.args(["-t", &cluster_id, "-c"]).arg(properties);
        tool::succeed(format, FORMAT_PATIENCE).await?;
        fs::write(&cluster_id_file, cluster_id)
            .map_err(Error::io(format!("writing {cluster_id_file:?}")))
    }

    pub(crate) fn broker(&self, heap_mb: u32) -> Command {
        let mut broker = self.java();
        broker.arg(format!("-Xmx{heap_mb}m"));
        broker.args(["-XX:+ExitOnOutOfMemoryError", "kafka.Kafka"]);
        broker.arg(self.data_dir.join(PROPERTIES));
        broker
    }

    /// Up to the name of the class to run.
    fn java(&self) -> Command {
        let mut java = Command::new(&self.java.program);
        java.current_dir("/").args(["-Xms64m", SERIAL_GC, QUICK_COMPILER, "-XX:-UsePerfData"]);
        // Without a level of its own log4j tells errors only, and not that the broker started.
        java.arg("-Dlog4j2.level=INFO");
        if let Some(archive) = &self.jars.archive {
            // An archive that does not fit is not used, and that is no reason for warnings.
            java.args(["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]);
            java.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        java.arg("-cp").arg(&self.jars.class_path);
        java
    }

    fn properties(&self) -> String {
        let Self { port, controller_port, data_dir, .. } = self;
        // A backslash would be an escape in this format.
        let records = data_dir.join(RECORDS).display().to_string().replace('\\', "\\\\");
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
             log.dirs={records}\n\
             auto.create.topics.enable=false\n\
             delete.topic.enable=true\n\
             offsets.topic.num.partitions=4\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.num.partitions=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             broker.session.timeout.ms={BROKER_SESSION_MS}\n\
             broker.heartbeat.interval.ms={BROKER_HEARTBEAT_MS}\n\
             default.replication.factor=1\n\
             min.insync.replicas=1\n\
             group.initial.rebalance.delay.ms=0\n\
             num.network.threads=2\n\
             num.io.threads=4\n\
             log.cleaner.dedupe.buffer.size=16777216\n"
        )
    }
}

/// Leaves word of the broker for a later process that finds it running.
pub(crate) fn leave_pid(data_dir: &Path, pid: u32) -> Result<(), Error> {
    let path = data_dir.join(PID);
    fs::write(&path, pid.to_string()).map_err(Error::io(format!("writing {path:?}")))
}

/// Runs a broker on a folder of its own once, and has Java write down the classes it loaded.
pub(crate) async fn archive_classes(
    java: &Java,
    jars: &Jars,
    cache: &Path,
    archive: &Path,
) -> Result<(), Error> {
    let data_dir = cache.join(format!("{FOLDER}.rehearsal.{:x}", port::random()));
    folder::create(&data_dir)?;
    let new = data_dir.join("classes.jsa");
    let launch = Launch {
        java,
        jars,
        data_dir: &data_dir,
        port: port::free()?,
        controller_port: port::free()?,
    };
    let manner = Manner {
        server: SERVER,
        end: Signal::SIGTERM,
        log_beside: data_dir.clone(),
        throw_away: Some(ThrowAway { data: data_dir.clone(), named_after: data_dir.clone() }),
    };

    let rehearsed = async {
        launch.prepare().await?;
        let mut broker = launch.java();
        broker.arg(format!("-XX:ArchiveClassesAtExit={}", new.display()));
        broker.arg("kafka.Kafka").arg(data_dir.join(PROPERTIES));
        let mut process = Process::spawn(broker, manner)?;
        process.until(|process| process.logged(STARTED), START_PATIENCE).await?;
        process.stop(Signal::SIGTERM, ARCHIVE_PATIENCE).await;
        fs::rename(&new, archive).map_err(Error::io(format!("renaming {new:?}")))
    }
    .await;
    let _ = folder::wipe(&data_dir);
    for suffix in [folder::LOG, folder::LAST_LOG] {
        let _ = fs::remove_file(folder::beside(&data_dir, suffix));
    }
    rehearsed
}

/// 16 bytes in base64 without padding, as Kafka writes its ids: the last of 22 digits holds two bits.
fn new_cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = (0..21).map(|place| {
        // A minus in front would look like an option of the command line.
        let range = if place == 0 { 62 } else { 64 };
        usize::try_from(port::random() % range).ok().and_then(|digit| DIGITS.get(digit)).copied()
    });
    digits.flatten().chain([b'A']).map(char::from).collect()
}
