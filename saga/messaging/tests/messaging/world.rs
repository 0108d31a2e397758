//! A process that takes part in messaging, with a database of its own; and patience.

use std::{future::Future, time::Duration};

use messaging::{Error, Kafka, Messaging, Options, Participant, Subscriber, Writer, Writes};
use provision::cluster;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{counted, post::Post, shop};

/// Nothing here takes that long, except what never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const GLANCE: Duration = Duration::from_millis(20);

/// Where processes of one service run: their database and their Kafka.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) service: &'static str,
    pub(crate) database_url: String,
    pub(crate) db: PgPool,
    pub(crate) kafka: Kafka,
    pub(crate) topics: Vec<String>,
}

impl World {
    /// On the Kafka of all tests. `service` is unique among them.
    pub(crate) async fn new(service: &'static str) -> Self {
        let brokers = cluster::shared().await.brokers().await;
        World::on(brokers, service).await
    }

    pub(crate) async fn on(brokers: String, service: &'static str) -> Self {
        let database_url = cluster::shared().await.database(&service.replace('-', "_")).await;
        World::at(brokers, database_url, service).await
    }

    pub(crate) async fn at(brokers: String, database_url: String, service: &'static str) -> Self {
        counted::count();
        let db = PgPoolOptions::new().max_connections(4).connect(&database_url).await.unwrap();
        sqlx::raw_sql(shop::TABLES).execute(&db).await.unwrap();
        let retention = Duration::from_secs(3600);
        let namespace = format!("{service}.");
        let kafka = Kafka { brokers, namespace, partition_count: 4, replica_count: 1, retention };
        let topics = ["inventory.commands.v1", "inventory.events.v1"].map(str::to_owned).to_vec();
        World { service, database_url, db, kafka, topics }
    }

    pub(crate) fn post(&self) -> Post {
        Post::new(&self.kafka)
    }

    pub(crate) async fn try_start(&self, instance: &str) -> Result<Process, Error> {
        self.try_start_until(CancellationToken::new(), instance).await
    }

    pub(crate) async fn try_start_until(
        &self,
        shutdown: CancellationToken,
        instance: &str,
    ) -> Result<Process, Error> {
        let options = Options {
            service: self.service,
            instance: instance.to_owned(),
            database_url: self.database_url.clone(),
            kafka: self.kafka.clone(),
            topics: self.topics.clone(),
            inbox_horizon: Duration::from_secs(7 * 86_400),
            outbox_retention: Duration::from_secs(7_200),
            observe: None,
        };
        let messaging = Messaging::start(options, self.db.clone(), shutdown.clone()).await?;
        Ok(Process { messaging, shutdown, tasks: Vec::new() })
    }

    pub(crate) async fn start(&self, instance: &str) -> Process {
        self.try_start(instance).await.unwrap()
    }

    /// One number from the database.
    pub(crate) async fn number(&self, statement: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&self.db).await.unwrap()
    }

    pub(crate) async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.db).await.unwrap();
    }

    /// Waits until the statement gives this number.
    pub(crate) async fn until(&self, statement: &str, wanted: i64) {
        let mut last = None;
        let reached = eventually(async || {
            last = Some(self.number(statement).await);
            (last == Some(wanted)).then_some(())
        });
        let reached = reached.await;
        assert!(reached.is_some(), "{statement} gives {last:?}, not {wanted}");
    }

    /// Holds up every transaction that has an effect, until this one ends.
    pub(crate) async fn hold_up(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut blocking = self.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE effect").execute(&mut *blocking).await.unwrap();
        blocking
    }

    /// Waits until a transaction of that lane waits for another one.
    pub(crate) async fn until_held_up(&self, lane: &str) {
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND application_name = '{lane}'"
        );
        self.until(&waiting, 1).await;
    }

    /// Waits until a transaction of that lane was rolled back.
    pub(crate) async fn until_failing(&self, lane: &str) {
        let rolled_back = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE query = 'ROLLBACK' AND application_name = '{lane}'"
        );
        self.until(&rolled_back, 1).await;
    }
}

/// Looks until it is there, or gives up.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE {
        let seen = look().await;
        if seen.is_some() {
            return seen;
        }
        tokio::time::sleep(GLANCE).await;
    }
    None
}

pub(crate) struct Process {
    pub(crate) messaging: Messaging,
    pub(crate) shutdown: CancellationToken,
    tasks: Vec<JoinHandle<Result<(), Error>>>,
}

impl Process {
    pub(crate) fn participant<P: Participant>(&mut self, participant: P) {
        let messaging = self.messaging.clone();
        self.spawn(async move { messaging.participant("commands", participant).await });
    }

    pub(crate) fn subscriber<S: Subscriber>(&mut self, name: &'static str, subscriber: S) {
        let messaging = self.messaging.clone();
        self.spawn(async move { messaging.subscriber(name, subscriber).await });
    }

    pub(crate) fn writer<W: Writer>(&mut self, writer: W) -> Writes<W> {
        let (writes, work) = self.messaging.writer("api", writer);
        self.spawn(work);
        writes
    }

    pub(crate) fn housekeeping(&mut self) {
        let messaging = self.messaging.clone();
        self.spawn(async move { messaging.housekeeping().await });
    }

    pub(crate) fn spawn(&mut self, work: impl Future<Output = Result<(), Error>> + Send + 'static) {
        self.tasks.push(tokio::spawn(work));
    }

    /// In order. A lane that had ended with an error fails the test.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
    }
}
