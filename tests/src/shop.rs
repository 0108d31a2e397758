//! A shop of its own for a test: fresh databases, topics nobody else uses, four processes.

use std::collections::BTreeMap;

use proto::{
    inventory::{self, inventory_service_client::InventoryServiceClient},
    order::{self, OrderStatus, order_service_client::OrderServiceClient},
    payment::payment_service_client::PaymentServiceClient,
    saga::{self, SagaStatus, saga_service_client::SagaServiceClient},
};
use provision::{Postgres, cluster, postgres};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    Books, Customer, Metrics, Order, PATIENCE, PAUSE, Placed, Service, Wave,
    customer::{carefully, connect},
    process::Process,
};

/// What a shop stands on where it is not what all tests share, and what else its processes are told.
#[derive(Debug, Default)]
pub struct Site<'a> {
    pub brokers: Option<String>,
    pub postgres: Option<&'a Postgres>,
    pub arguments: Vec<String>,
}

impl Site<'_> {
    async fn brokers(&self) -> String {
        match &self.brokers {
            Some(brokers) => brokers.clone(),
            None => cluster::shared().await.brokers().await,
        }
    }

    async fn database(&self, name: &str) -> String {
        let Some(postgres) = self.postgres else {
            return cluster::shared().await.database(name).await;
        };
        let admin_url = postgres.url("postgres");
        postgres::create_databases(&admin_url, &[name]).await.expect("a database");
        postgres.url(name)
    }
}

#[derive(Debug)]
pub struct Shop {
    processes: BTreeMap<Service, Process>,
    arguments: BTreeMap<Service, Vec<String>>,
    ports: BTreeMap<Service, u16>,
    databases: BTreeMap<Service, String>,
    brokers: String,
    namespace: String,
    folder: TempDir,
}

impl Shop {
    pub async fn open(name: &str) -> Self {
        Shop::open_at(name, Site::default()).await
    }

    /// Ready to take orders: everything serves, and the catalogue has arrived.
    pub async fn open_at(name: &str, site: Site<'_>) -> Self {
        let mut shop = Shop {
            processes: BTreeMap::new(),
            arguments: BTreeMap::new(),
            ports: BTreeMap::new(),
            databases: BTreeMap::new(),
            brokers: site.brokers().await,
            namespace: format!("{name}-{}.", Uuid::now_v7().simple()),
            folder: tempfile::tempdir().expect("a folder"),
        };
        for service in Service::ALL {
            let port = provision::free_port().expect("a free port");
            let url = site.database(service.database()).await;
            let mut arguments: Vec<String> = [
                format!("--listen=127.0.0.1:{port}"),
                format!("--database-url={url}"),
                format!("--kafka={}", shop.brokers),
                format!("--namespace={}", shop.namespace),
                "--allow-unsafe-postgres".to_owned(),
            ]
            .into();
            match service {
                Service::Inventory => arguments.push("--demo-catalog".to_owned()),
                Service::Coordinator => arguments.push("--resend-after-ms=2000".to_owned()),
                Service::Order => arguments.push("--reannounce-after=3".to_owned()),
                Service::Payment => {}
            }
            arguments.extend(site.arguments.iter().cloned());
            shop.arguments.insert(service, arguments);
            shop.ports.insert(service, port);
            shop.databases.insert(service, url);
            shop.start(service);
        }
        for service in Service::ALL {
            shop.serves(service).await;
        }
        shop.catalogue_arrives().await;
        shop
    }

    pub fn start(&mut self, service: Service) {
        let process = Process::start(service, &self.arguments[&service], self.folder.path());
        self.processes.insert(service, process);
    }

    /// Kills a process at whatever it is doing.
    pub fn kill(&mut self, service: Service) {
        self.processes.remove(&service).expect("a running process").kill();
    }

    /// Stops a process in good order; returns its exit code.
    pub async fn stop(&mut self, service: Service) -> Option<i32> {
        self.processes.remove(&service).expect("a running process").stop().await
    }

    /// How a process is started.
    pub fn arguments(&self, service: Service) -> &[String] {
        &self.arguments[&service]
    }

    /// All that a running process has logged.
    pub fn log(&self, service: Service) -> String {
        self.processes[&service].log()
    }

    pub fn port(&self, service: Service) -> u16 {
        self.ports[&service]
    }

    pub async fn channel(&self, service: Service) -> Channel {
        connect(self.ports[&service]).await
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// One number from a service's database.
    pub async fn number(&self, service: Service, statement: &'static str) -> i64 {
        let mut database =
            PgConnection::connect(&self.databases[&service]).await.expect("a connection");
        sqlx::query_scalar(statement).fetch_one(&mut database).await.expect("a number")
    }

    /// Records that a service has kept, and of which its outbox does not know yet that the broker has
    /// them.
    pub async fn owed(&self, service: Service) -> i64 {
        let owed = "SELECT coalesce(sum(last_seq - published_seq), 0)::bigint FROM outbox_lane";
        self.number(service, owed).await
    }

    /// Waits until the broker has all that the service had to say.
    pub async fn has_published(&self, service: Service) {
        let deadline = Instant::now() + PATIENCE;
        while self.owed(service).await > 0 {
            assert!(Instant::now() < deadline, "{service:?} does not publish");
            sleep(PAUSE).await;
        }
    }

    /// What a process counts, once this holds for it.
    pub async fn metrics_that(
        &self,
        service: Service,
        holds: impl Fn(&Metrics) -> bool,
    ) -> Metrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = Metrics::of(self.ports[&service]).await;
            if holds(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "{service:?} counts {metrics:?}");
            sleep(PAUSE).await;
        }
    }

    /// Waits until a process that was started takes requests.
    pub async fn serves(&mut self, service: Service) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let process = self.processes.get_mut(&service).expect("a process");
            if process.has_exited() || Instant::now() > deadline {
                panic!("{service:?} does not serve:\n{}", process.log_tail());
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", self.ports[&service])).await.is_ok() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    async fn catalogue_arrives(&mut self) {
        let mut orders = self.orders().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = orders.list_catalog(order::ListCatalogRequest::default()).await;
            if listed.is_ok_and(|catalog| catalog.get_ref().items.len() >= 9) {
                return;
            }
            assert!(Instant::now() < deadline, "the catalogue does not arrive");
            for (service, process) in &mut self.processes {
                assert!(!process.has_exited(), "{service:?} has ended");
            }
            sleep(PAUSE).await;
        }
    }

    pub async fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel(Service::Order).await)
    }

    pub async fn sagas(&self) -> SagaServiceClient<Channel> {
        SagaServiceClient::new(self.channel(Service::Coordinator).await)
    }

    pub async fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.channel(Service::Inventory).await)
    }

    pub async fn payments(&self) -> PaymentServiceClient<Channel> {
        PaymentServiceClient::new(self.channel(Service::Payment).await)
    }

    /// Who places orders here.
    pub fn customer(&self) -> Customer {
        Customer::at(self.ports[&Service::Order])
    }

    pub async fn place(&self, order: Order) -> String {
        self.customer().place(order).await
    }

    /// Every third one has its card declined.
    pub async fn place_many(&self, count: usize) -> Vec<Placed> {
        self.customer().place_many(count).await
    }

    /// Orders that come one after the other from now on.
    pub fn wave(&self) -> Wave {
        Wave::begin(&self.customer())
    }

    /// The order, once it is confirmed or cancelled.
    pub async fn decided(&self, order_id: &str) -> order::Order {
        let mut orders = self.orders().await;
        let request = order::GetOrderRequest { order_id: order_id.to_owned() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = orders.get_order(request.clone()).await;
            if let Ok(found) = found {
                let order = found.into_inner().order.expect("an order");
                if matches!(order.status(), OrderStatus::Confirmed | OrderStatus::Cancelled) {
                    return order;
                }
                assert!(Instant::now() < deadline, "still undecided: {order:?}");
            }
            sleep(PAUSE).await;
        }
    }

    /// The saga of an order, as it is now, if it has begun.
    pub async fn saga(&self, order_id: &str) -> Option<saga::GetSagaResponse> {
        let request = saga::GetSagaRequest { id: order_id.to_owned() };
        self.sagas().await.get_saga(request).await.ok().map(tonic::Response::into_inner)
    }

    /// The saga of an order, once this holds for it.
    pub async fn saga_that(
        &self,
        order_id: &str,
        holds: impl Fn(&saga::GetSagaResponse) -> bool,
    ) -> saga::GetSagaResponse {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.saga(order_id).await;
            match found {
                Some(found) if holds(&found) => return found,
                found => assert!(Instant::now() < deadline, "the saga is {found:?}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until the sagas of these orders wait for this step and for nothing else.
    pub async fn all_wait_for(&self, placed: &[Placed], step: &str) {
        for Placed { order_id, .. } in placed {
            let waits = |found: &saga::GetSagaResponse| {
                found.saga.as_ref().is_some_and(|saga| saga.waits_for == [step])
            };
            self.saga_that(order_id, waits).await;
        }
    }

    /// The saga of an order, once it has ended. Its journal must lead to where it stands.
    pub async fn ended(&self, order_id: &str) -> saga::GetSagaResponse {
        let has_ended = |found: &saga::GetSagaResponse| {
            found.saga.as_ref().is_some_and(|saga| saga.ended_at.is_some())
        };
        let found = self.saga_that(order_id, has_ended).await;
        assert!(found.journal_agrees, "the journal leads elsewhere: {found:?}");
        found
    }

    /// Of how many sagas the given status is true.
    pub async fn count(&self, statuses: &[SagaStatus]) -> usize {
        let mut sagas = self.sagas().await;
        let statuses = statuses.iter().map(|status| i32::from(*status)).collect();
        let mut request =
            saga::ListSagasRequest { page_size: 1_000, statuses, ..Default::default() };
        let mut count = 0;
        loop {
            let page = carefully(async || sagas.list_sagas(request.clone()).await).await;
            count += page.sagas.len();
            if page.next_page_token.is_empty() {
                return count;
            }
            request.page_token = page.next_page_token;
        }
    }

    pub async fn item(&self, sku: &str) -> inventory::Item {
        let request = inventory::GetItemRequest { sku: sku.to_owned() };
        let mut inventory = self.inventory().await;
        let found = carefully(async || inventory.get_item(request.clone()).await).await;
        found.item.expect("an item")
    }

    /// What the services' own books say.
    pub async fn books(&self) -> Books {
        Books::read(self).await
    }
}
