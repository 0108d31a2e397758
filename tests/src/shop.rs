//! A shop of its own for a test: fresh databases, topics nobody else uses, four processes.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    inventory::{self, inventory_service_client::InventoryServiceClient},
    order::{self, OrderStatus, order_service_client::OrderServiceClient},
    payment::payment_service_client::PaymentServiceClient,
    saga::{self, SagaStatus, saga_service_client::SagaServiceClient},
};
use provision::cluster;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    Books, Service,
    process::{Process, free_port},
};

/// How long anything may take that should happen.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);

/// An order to place.
#[derive(Debug, Clone)]
pub struct Order {
    request: order::PlaceOrderRequest,
}

impl Order {
    pub fn of(sku: &str, quantity: u32) -> Self {
        let line = order::OrderLine { sku: sku.to_owned(), quantity };
        Order {
            request: order::PlaceOrderRequest {
                request_id: Uuid::now_v7().to_string(),
                lines: vec![line],
                payment_method: "tok_ok".to_owned(),
                customer_id: String::new(),
                currency: String::new(),
            },
        }
    }

    pub fn paid_with(mut self, token: &str) -> Self {
        self.request.payment_method = token.to_owned();
        self
    }
}

#[derive(Debug)]
pub struct Shop {
    processes: BTreeMap<Service, Process>,
    arguments: BTreeMap<Service, Vec<String>>,
    ports: BTreeMap<Service, u16>,
    folder: TempDir,
}

impl Shop {
    /// On the Kafka that all tests share.
    pub async fn open(name: &str) -> Self {
        let brokers = cluster::shared().await.brokers().await;
        Shop::open_on(name, &brokers).await
    }

    /// Ready to take orders: everything serves, and the catalogue has arrived.
    pub async fn open_on(name: &str, brokers: &str) -> Self {
        let cluster = cluster::shared().await;
        let namespace = format!("{name}-{}.", Uuid::now_v7().simple());
        let mut shop = Shop {
            processes: BTreeMap::new(),
            arguments: BTreeMap::new(),
            ports: BTreeMap::new(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        for service in Service::ALL {
            let port = free_port();
            let url = cluster.database(service.database()).await;
            let mut arguments: Vec<String> = [
                format!("--listen=127.0.0.1:{port}"),
                format!("--database-url={url}"),
                format!("--kafka={brokers}"),
                format!("--namespace={namespace}"),
                "--allow-unsafe-postgres".to_owned(),
            ]
            .into();
            match service {
                Service::Inventory => arguments.push("--demo-catalog".to_owned()),
                Service::Coordinator => arguments.push("--resend-after-ms=2000".to_owned()),
                Service::Order => arguments.push("--reannounce-after=3".to_owned()),
                Service::Payment => {}
            }
            shop.arguments.insert(service, arguments);
            shop.ports.insert(service, port);
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
    pub fn stop(&mut self, service: Service) -> Option<i32> {
        self.processes.remove(&service).expect("a running process").stop()
    }

    /// Kills a process and starts it again.
    pub async fn crash(&mut self, service: Service) {
        self.kill(service);
        self.start(service);
        self.serves(service).await;
    }

    pub fn port(&self, service: Service) -> u16 {
        self.ports[&service]
    }

    pub async fn channel(&self, service: Service) -> Channel {
        let address = format!("http://127.0.0.1:{}", self.ports[&service]);
        let endpoint = Channel::from_shared(address).expect("an address");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(error) if Instant::now() > deadline => panic!("{service:?}: {error}"),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn serves(&mut self, service: Service) {
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

    /// Places an order as a careful client does: the same request again until it is answered.
    pub async fn place(&self, order: Order) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut orders = self.orders().await;
            match orders.place_order(order.request.clone()).await {
                Ok(placed) => return placed.into_inner().order.expect("an order").order_id,
                Err(status) if Instant::now() < deadline && is_passing(&status) => {
                    sleep(PAUSE).await;
                }
                Err(status) => panic!("not placed: {status:?}"),
            }
        }
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
            let page = sagas.list_sagas(request.clone()).await.expect("a page").into_inner();
            count += page.sagas.len();
            if page.next_page_token.is_empty() {
                return count;
            }
            request.page_token = page.next_page_token;
        }
    }

    pub async fn item(&self, sku: &str) -> inventory::Item {
        let request = inventory::GetItemRequest { sku: sku.to_owned() };
        let found = self.inventory().await.get_item(request).await.expect("an item");
        found.into_inner().item.expect("an item")
    }

    /// What the services' own books say.
    pub async fn books(&self) -> Books {
        Books::read(self).await
    }
}

/// Whether the same request may be sent again.
fn is_passing(status: &tonic::Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
    )
}
