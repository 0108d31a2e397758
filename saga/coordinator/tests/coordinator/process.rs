//! The coordinator as it runs, on a Kafka and a Postgres of its own.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use clap::Parser;
use proto::saga::{
    GetSagaRequest, GetSagaResponse, ListSagasRequest, SagaStatus,
    saga_service_client::SagaServiceClient,
};
use saga_coordinator::{Config, run_sagas};
use saga_core::Registry;
use sqlx::{AssertSqlSafe, PgPool, query_scalar};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

pub type Client = SagaServiceClient<Channel>;

/// How long a fact is waited for.
pub const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub struct Coordinator {
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

/// With topics, groups and a database that nobody else has.
pub async fn config(more_args: &[&str]) -> Config {
    let cluster = provision::cluster::shared().await;
    let url = cluster.database("saga").await;
    let brokers = cluster.brokers().await;
    let namespace = format!("{}.", Uuid::now_v7().simple());
    let mut args = vec!["saga-coordinator", "--kafka", &brokers, "--database-url", &url];
    args.extend(["--namespace", &namespace, "--allow-unsafe-postgres"]);
    args.extend(more_args);
    Config::parse_from(args)
}

impl Coordinator {
    pub async fn start(registry: Registry, config: &Config) -> (Self, Client) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = Config { listen: free.local_addr().unwrap(), ..config.clone() };
        drop(free);
        let address = format!("http://{}", config.listen);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run_sagas(registry, config, shutdown.clone()));
        let client = loop {
            assert!(!running.is_finished(), "{:?}", running.await);
            if let Ok(mut client) = Client::connect(address.clone()).await
                && client.list_sagas(ListSagasRequest::default()).await.is_ok()
            {
                break client;
            }
            sleep(LOOK_AGAIN).await;
        };
        (Coordinator { running, shutdown }, client)
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// The saga, by id or key, once that holds.
pub async fn until(
    client: &mut Client,
    id: &str,
    holds: impl Fn(&GetSagaResponse) -> bool,
) -> GetSagaResponse {
    let started = Instant::now();
    loop {
        let found = client.get_saga(GetSagaRequest { id: id.to_owned() }).await;
        match found {
            Ok(found) if holds(found.get_ref()) => return found.into_inner(),
            found => assert!(started.elapsed() < PATIENCE, "{found:?}"),
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The saga, by id or key, once it has this status.
pub async fn once(client: &mut Client, id: &str, status: SagaStatus) -> GetSagaResponse {
    until(client, id, |found| found.saga.as_ref().unwrap().status() == status).await
}

/// Waits until the statement gives this number.
pub async fn until_number(db: &PgPool, statement: &str, wanted: i64) {
    let started = Instant::now();
    loop {
        let number: i64 = query_scalar(AssertSqlSafe(statement)).fetch_one(db).await.unwrap();
        if number == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{statement} gives {number}, not {wanted}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Waits until a transaction that hears answers waits for another one.
pub async fn until_held_up(db: &PgPool) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND application_name LIKE 'saga-coordinator.intake%'";
    until_number(db, waiting, 1).await;
}
