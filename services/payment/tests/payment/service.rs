//! The service as it runs, on a Kafka and a Postgres of its own, with the built-in gateway and, for
//! tokens that begin with `net_`, one that has to be called for everything.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::Parser;
use payment_service::{
    Config, Gateway, TokenGateway,
    gateway::{Charge, Outcome, Unavailable},
    run_with,
};
use proto::payment::{ListPaymentsRequest, payment_service_client::PaymentServiceClient};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::asker::PATIENCE;

const GLANCE: Duration = Duration::from_millis(20);

pub type Client = PaymentServiceClient<Channel>;

pub struct Service {
    pub config: Config,
    pub gateway: Networked,
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(gateway_timeout_ms: u64) -> (Self, Client) {
        let cluster = provision::cluster::shared().await;
        let url = cluster.database("payment").await;
        let brokers = cluster.brokers().await;
        let namespace = format!("{}.", Uuid::now_v7().simple());
        let mut args = vec!["payment-service", "--kafka", &brokers, "--database-url", &url];
        args.extend(["--namespace", &namespace, "--allow-unsafe-postgres"]);
        let mut config = Config::parse_from(args);
        config.gateway_timeout_ms = gateway_timeout_ms;
        Service::start_with(config).await
    }

    pub async fn start_with(mut config: Config) -> (Self, Client) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        config.listen = free.local_addr().unwrap();
        drop(free);
        let gateway = Networked::new();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run_with(gateway.clone(), config.clone(), shutdown.clone()));
        let address = format!("http://{}", config.listen);
        let started = Instant::now();
        let client = loop {
            assert!(!running.is_finished(), "{:?}", running.await);
            assert!(started.elapsed() < PATIENCE, "the service does not serve");
            if let Ok(mut client) = Client::connect(address.clone()).await
                && client.list_payments(ListPaymentsRequest::default()).await.is_ok()
            {
                break client;
            }
            sleep(GLANCE).await;
        };
        (Service { config, gateway, running, shutdown }, client)
    }

    pub async fn stop(self) -> Config {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.config
    }
}

/// Remembers what it was called for. Capturing fails the first time; `net_late` is approved when
/// the test says so, even if nobody waits for it any more; the first call for `net_broken` panics.
#[derive(Debug, Clone)]
pub struct Networked {
    calls: Arc<Mutex<Vec<(Uuid, &'static str)>>>,
    changed: watch::Sender<usize>,
    approves_late: watch::Sender<bool>,
}

impl Networked {
    fn new() -> Self {
        let (changed, _) = watch::channel(0);
        let (approves_late, _) = watch::channel(false);
        Networked { calls: Arc::default(), changed, approves_late }
    }

    pub fn calls(&self, order: Uuid) -> Vec<&'static str> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(of, _)| *of == order).map(|(_, call)| *call).collect()
    }

    pub async fn until_called(&self, order: Uuid, times: usize) {
        let mut changes = self.changed.subscribe();
        let called = changes.wait_for(|_| self.calls(order).len() >= times);
        let Ok(called) = timeout(PATIENCE, called).await else {
            panic!("called only for {:?}", self.calls(order));
        };
        called.unwrap();
    }

    pub fn approve_the_late_one(&self) {
        self.approves_late.send_replace(true);
    }

    fn note(&self, charge: &Charge, call: &'static str) -> usize {
        self.calls.lock().unwrap().push((charge.order_id, call));
        self.changed.send_modify(|count| *count += 1);
        self.calls(charge.order_id).iter().filter(|noted| **noted == call).count()
    }
}

fn is_networked(charge: &Charge) -> bool {
    charge.method.starts_with("net_")
}

impl Gateway for Networked {
    fn at_once(&self, charge: &Charge) -> Option<Outcome> {
        if is_networked(charge) { None } else { TokenGateway.at_once(charge) }
    }

    fn settles_at_once(&self, charge: &Charge) -> bool {
        !is_networked(charge)
    }

    async fn authorize(&self, charge: &Charge) -> Result<Outcome, Unavailable> {
        if !is_networked(charge) {
            return TokenGateway.authorize(charge).await;
        }
        let times = self.note(charge, "authorize");
        assert!(charge.method != "net_broken" || times > 1, "broken, as the test wants it");
        if charge.method == "net_late" {
            self.approves_late.subscribe().wait_for(|approves| *approves).await.unwrap();
        }
        Ok(Outcome::Approved { number: "number 7".to_owned() })
    }

    async fn capture(&self, charge: &Charge, number: &str) -> Result<(), Unavailable> {
        assert_eq!(number, "number 7");
        match self.note(charge, "capture") {
            1 => Err(Unavailable("not now".to_owned())),
            _ => Ok(()),
        }
    }

    async fn void(&self, charge: &Charge, _: &str) -> Result<(), Unavailable> {
        self.note(charge, "void");
        Ok(())
    }
}
