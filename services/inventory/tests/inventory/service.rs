//! The service as it runs, on a Kafka and a Postgres of its own.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use clap::Parser;
use inventory_service::{Config, run};
use proto::inventory::{ListItemsRequest, inventory_service_client::InventoryServiceClient};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::asker::PATIENCE;

const GLANCE: Duration = Duration::from_millis(20);

pub type Client = InventoryServiceClient<Channel>;

pub struct Service {
    pub config: Config,
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Service {
    /// With nothing in it, or with the demo catalogue.
    pub async fn start(more_args: &[&str]) -> (Self, Client) {
        let cluster = provision::cluster::shared().await;
        let url = cluster.database("inventory").await;
        let brokers = cluster.brokers().await;
        let namespace = format!("{}.", Uuid::now_v7().simple());
        let mut args = vec!["inventory-service", "--kafka", &brokers, "--database-url", &url];
        args.extend(["--namespace", &namespace, "--allow-unsafe-postgres"]);
        args.extend(more_args);
        Service::start_with(Config::parse_from(args)).await
    }

    pub async fn start_with(mut config: Config) -> (Self, Client) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        config.listen = free.local_addr().unwrap();
        drop(free);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(config.clone(), shutdown.clone()));
        let address = format!("http://{}", config.listen);
        let started = Instant::now();
        let client = loop {
            assert!(!running.is_finished(), "{:?}", running.await);
            assert!(started.elapsed() < PATIENCE, "the service does not serve");
            if let Ok(mut client) = Client::connect(address.clone()).await
                && client.list_items(ListItemsRequest::default()).await.is_ok()
            {
                break client;
            }
            sleep(GLANCE).await;
        };
        (Service { config, running, shutdown }, client)
    }

    pub async fn stop(self) -> Config {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.config
    }
}
