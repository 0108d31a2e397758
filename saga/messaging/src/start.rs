//! What a process needs to take part: where Kafka and Postgres are, who it is, and its producer.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::ClientConfig;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    Error, Handler, Participant, Subscriber, Writer, Writes, announcing,
    consumer::{self, Handled, Membership},
    error::chain,
    housekeeping,
    participant::Commands,
    relay::Relay,
    subscriber::Events,
    topics, writer,
};

/// What the broker gets to acknowledge the last records. Those that it does not are published again by
/// the next start.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Where the brokers are, and how topics are made there.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Stands before the name of every topic and group: several systems share the brokers without
    /// meeting. Empty for none.
    pub namespace: String,
    /// Of every topic that has to be made. A key's partition follows from it: it cannot change.
    pub partition_count: i32,
    /// Of every topic that has to be made; -1 is the broker's own default.
    pub replica_count: i32,
    /// How long records are kept; Postgres is the truth, topics are for replaying.
    pub retention: Duration,
}

impl Kafka {
    pub(crate) fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.nagle.disable", "true");
        config
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    /// Crate, binary, consumer group (who hears events adds its own name) and source of messages.
    pub service: &'static str,
    /// Tells processes of one service apart. Two with the same do not run at the same time: the
    /// second one waits until the first is gone.
    pub instance: String,
    pub database_url: String,
    pub kafka: Kafka,
    /// Every topic that the process reads or writes, without dead letters and replies.
    pub topics: Vec<String>,
    /// A message older than this is set aside: whether it was handled is not known any more.
    pub inbox_horizon: Duration,
    /// How long published outbox rows are kept.
    pub outbox_retention: Duration,
    /// Told of every record that was handled, for tracing.
    pub observe: Option<fn(&'static str, &Handled<'_>)>,
}

/// A process's part in messaging. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Messaging {
    pub(crate) options: Arc<Options>,
    pub(crate) db: PgPool,
    pub(crate) relay: Relay,
    pub(crate) shutdown: CancellationToken,
    /// The lanes that run here.
    running: Arc<Mutex<HashSet<String>>>,
}

/// A lane that runs in this process, for as long as this lives.
struct Running {
    lane: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl Running {
    /// Nothing when it runs already.
    fn take(all: &Arc<Mutex<HashSet<String>>>, lane: String) -> Option<Self> {
        let is_new = all.lock().unwrap_or_else(PoisonError::into_inner).insert(lane.clone());
        is_new.then(|| Running { lane, all: Arc::clone(all) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.lane);
    }
}

impl Messaging {
    /// Brings the database's messaging tables and the topics up to date. Waits for Kafka.
    pub async fn start(
        options: Options,
        db: PgPool,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        housekeeping::migrate(&db).await?;
        housekeeping::rotate(&db, &options).await?;
        let topics = topics::with_dead_letters(&options.topics);
        tokio::select! {
            there = topics::ensure(&options.kafka, &topics) => there?,
            // What is to stop needs none.
            () = shutdown.cancelled() => {}
        }
        let client_id = format!("{}.relay.{}", options.service, options.instance);
        let relay = Relay::start(&options.kafka, &client_id, shutdown.clone())?;
        Ok(Messaging { options: Arc::new(options), db, relay, shutdown, running: Arc::default() })
    }

    /// The service that takes part.
    pub fn service(&self) -> &'static str {
        self.options.service
    }

    /// Answers the commands of one participant until the process stops.
    ///
    /// `name` is that of its lane, as below for all that runs here: each has one of its own, the same
    /// after every start. A lane takes up what it had committed and not published.
    pub async fn participant<P: Participant>(
        &self,
        name: &str,
        participant: P,
    ) -> Result<(), Error> {
        let topic = <P::Command as saga_contract::CommandSet>::TOPIC;
        let membership = self.membership(name, self.service(), vec![topic.to_owned()]);
        let handler = Commands::new(participant, self.options.inbox_horizon);
        self.run(name, consumer::run(self.clone(), membership, handler)).await
    }

    /// Hears the events of others until the process stops.
    pub async fn subscriber<S: Subscriber>(&self, name: &str, subscriber: S) -> Result<(), Error> {
        let topics = S::TOPICS.iter().map(|topic| (*topic).to_owned()).collect();
        // Without the instance: another one may have handled the message before.
        let consumer = format!("{}.{name}", self.service());
        // A group of its own: in the service's, whoever comes holds up the commands until all have
        // joined again.
        let membership = self.membership(name, &consumer, topics);
        let handler = Events::new(subscriber, consumer, self.options.inbox_horizon);
        self.run(name, consumer::run(self.clone(), membership, handler)).await
    }

    /// Handles records with a handler of the caller's own until the process stops.
    pub async fn consumer<H: Handler>(
        &self,
        name: &str,
        topics: Vec<String>,
        handler: H,
    ) -> Result<(), Error> {
        let membership = self.membership(name, self.service(), topics);
        self.run(name, consumer::run(self.clone(), membership, handler)).await
    }

    /// A way to write without having been asked by a message, many requests in one transaction;
    /// and the work itself, to be run until the process stops.
    pub fn writer<W: Writer>(
        &self,
        name: &str,
        writer: W,
    ) -> (Writes<W>, impl Future<Output = Result<(), Error>> + use<W>) {
        let (writes, requests) = writer::channel();
        let (messaging, name) = (self.clone(), name.to_owned());
        let work = async move {
            let lane = messaging.lane_name(&name);
            let written = writer::run(messaging.clone(), lane, writer, requests);
            messaging.run(&name, written).await
        };
        (writes, work)
    }

    /// Announces again what was [announced](crate::Tx::announce) and is not decided `after` that
    /// time, until the process stops. The pause doubles each time, up to five minutes.
    pub async fn announcing(&self, after: Duration) -> Result<(), Error> {
        announcing::run(self, after).await
    }

    /// Keeps topics, partitions and left-over outbox rows in order until the process stops.
    pub async fn housekeeping(&self) -> Result<(), Error> {
        housekeeping::run(self).await
    }

    /// Lets the broker acknowledge what is under way, for a while: the last thing a process does.
    pub async fn flush(&self) {
        let relay = self.relay.clone();
        let flushed = tokio::task::spawn_blocking(move || relay.flush(FLUSH_PATIENCE)).await;
        if let Err(error) = flushed {
            warn!(%error, "flushing");
        }
    }

    /// `inventory-service.commands.0`: the lane in the outbox and the member in the group.
    pub(crate) fn lane_name(&self, name: &str) -> String {
        format!("{}.{name}.{}", self.options.service, self.options.instance)
    }

    fn membership(&self, name: &str, group: &str, topics: Vec<String>) -> Membership {
        Membership {
            name: self.lane_name(name),
            group: format!("{}{group}", self.options.kafka.namespace),
            topics,
        }
    }

    /// Two lanes of one name in one process would wait for each other without end.
    async fn run(
        &self,
        name: &str,
        work: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let running = Running::take(&self.running, self.lane_name(name));
        let result = match running {
            Some(_) => work.await,
            None => Err(Error::Other(format!(
                "'{name}' runs in this process already: give each part a name of its own"
            ))),
        };
        if let Err(error) = &result {
            error!(lane = self.lane_name(name), error = chain(error), "lane ended");
        }
        result
    }
}

#[cfg(test)]
mod tests;
