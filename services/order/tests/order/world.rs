//! One order service for all tests, and what is around it: a catalogue that an inventory tells, and
//! sagas that ask.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, mpsc},
    time::Duration,
};

use clap::Parser;
use messaging::{
    Envelope, Error, Handler, Message, Messaging, Record, SagaContext, Tx, Writes,
    message::{Direction, Outcome, REPLIES},
    writer::Writer,
};
use order_service::{Config, run};
use proto::{
    inventory::ItemListed,
    order::{
        ListCatalogRequest, Order, OrderLine, PlaceOrderRequest, PlaceOrderResponse,
        order_service_client::OrderServiceClient,
    },
    shop::Money,
};
use saga_contract::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

pub(crate) type Client = OrderServiceClient<Channel>;

pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const GLANCE: Duration = Duration::from_millis(20);

/// What a test sees.
#[derive(Clone)]
pub(crate) struct World {
    address: SocketAddr,
    post: Writes<Post>,
    heard: watch::Receiver<Arc<Heard>>,
}

type Heard = Mutex<Vec<(Envelope, Vec<u8>)>>;

/// The one of this process, with `SKU-1` at 10.00 EUR, `SKU-2` at 2.50 EUR, `US-1` at 7.00 USD and
/// `DEAR`, of which no order can have two.
pub(crate) async fn world() -> World {
    static WORLD: OnceLock<World> = OnceLock::new();
    // It outlives the runtimes of single tests, so it has one of its own.
    let world = WORLD.get_or_init(|| {
        let (ready, world) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                ready.send(World::start().await).unwrap();
                std::future::pending::<()>().await;
            });
        });
        world.recv().unwrap()
    });
    world.clone()
}

/// A service of its own, with its own topics; gives its address and its database.
pub(crate) async fn start_service(
    name: &'static str,
    reannounce_after: &str,
    shutdown: CancellationToken,
) -> (SocketAddr, String, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let database_url = provision::cluster::shared().await.database(name).await;
    let address = free_address();
    let config = config(name, &database_url, address, reannounce_after).await;
    let running = tokio::spawn(run(config, shutdown));
    (address, database_url, running)
}

async fn config(
    namespace: &str,
    database_url: &str,
    address: SocketAddr,
    reannounce_after: &str,
) -> Config {
    let brokers = provision::cluster::shared().await.brokers().await;
    Config::parse_from([
        "order-service",
        "--allow-unsafe-postgres",
        &format!("--namespace={namespace}."),
        &format!("--database-url={database_url}"),
        &format!("--listen={address}"),
        &format!("--kafka={brokers}"),
        &format!("--reannounce-after={reannounce_after}"),
        "--shutdown-deadline=5",
    ])
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) async fn client(address: SocketAddr) -> Client {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let connected = eventually(async || endpoint.connect().await.ok());
    OrderServiceClient::new(connected.await.expect("nobody serves there"))
}

/// Looks until it is there, or gives up.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.ok()
}

impl World {
    async fn start() -> Self {
        let shutdown = CancellationToken::new();
        let (address, _, running) = start_service("shop", "1", shutdown.clone()).await;
        tokio::spawn(async move { panic!("the service ended: {:?}", running.await) });

        let outside_url = provision::cluster::shared().await.database("outside").await;
        let db = sqlx::PgPool::connect(&outside_url).await.unwrap();
        let common = config("shop", &outside_url, address, "1").await.common;
        let topics = ["order.events.v1", "order.commands.v1", "inventory.events.v1"];
        let options = common.messaging("outside", &outside_url, &topics);
        let outside = Messaging::start(options, db, shutdown).await.unwrap();
        let (post, posting) = outside.writer("post", Post);
        tokio::spawn(posting);
        let (told, heard) = watch::channel(Arc::new(Heard::default()));
        tokio::spawn(async move {
            let topics = [REPLIES, "order.events.v1", "inventory.events.v1.dead"];
            let topics = topics.map(str::to_owned).to_vec();
            outside.consumer("ear", topics, Ear(told)).await
        });

        let world = World { address, post, heard };
        for (sku, minor_units, currency) in [
            ("SKU-1", 1_000, "EUR"),
            ("SKU-2", 250, "EUR"),
            ("US-1", 700, "USD"),
            ("DEAR", 600_000_000_000_000, "EUR"),
        ] {
            world.list_item(sku, minor_units, currency, 1).await;
        }
        let mut client = world.client().await;
        let all_listed = eventually(async || {
            let listed =
                client.list_catalog(ListCatalogRequest::default()).await.unwrap().into_inner();
            (listed.items.len() >= 4).then_some(())
        });
        all_listed.await.expect("the catalogue does not arrive");
        world
    }

    pub(crate) async fn client(&self) -> Client {
        client(self.address).await
    }

    /// The inventory tells of an item.
    pub(crate) async fn list_item(
        &self,
        sku: &str,
        minor_units: i64,
        currency: &str,
        revision: i64,
    ) {
        let price = Some(Money { minor_units, currency: currency.to_owned() });
        let name = format!("{sku}, revision {revision}");
        let event = ItemListed { sku: sku.to_owned(), name, price, revision };
        self.post.write(Message::event("inventory-service", sku, &event)).await.unwrap();
    }

    /// A saga asks, and gets its answer.
    pub(crate) async fn ask<C: Command>(&self, order_id: &str, command: &C) -> Outcome {
        let saga = SagaContext {
            saga_id: Uuid::now_v7(),
            definition: "place-order".to_owned(),
            step: C::NAME.to_owned(),
            direction: Direction::Invoke,
            attempt: 1,
            is_start: false,
        };
        let message = Message::command(
            "saga-coordinator",
            order_id,
            C::TOPIC.to_owned(),
            C::full_name(),
            command.encode_to_vec(),
            saga.clone(),
        );
        self.post.write(message).await.unwrap();
        let answers = |envelope: &Envelope| envelope.saga.as_ref() == Some(&saga);
        self.hear(1, answers).await.remove(0).0.outcome.unwrap()
    }

    /// Events of a kind under a key, as soon as there are so many.
    pub(crate) async fn events<E: saga_contract::Event>(&self, key: &str, count: usize) -> Vec<E> {
        let kind = E::full_name();
        let records = self.hear(count, |envelope| envelope.kind == kind && envelope.key == key);
        records.await.iter().map(|(_, payload)| E::decode(payload.as_slice()).unwrap()).collect()
    }

    pub(crate) async fn hear(
        &self,
        count: usize,
        wanted: impl Fn(&Envelope) -> bool,
    ) -> Vec<(Envelope, Vec<u8>)> {
        let mut heard = self.heard.clone();
        let found = async {
            loop {
                let all = Arc::clone(&*heard.borrow_and_update());
                let found: Vec<_> =
                    all.lock().unwrap().iter().filter(|(e, _)| wanted(e)).cloned().collect();
                if found.len() >= count {
                    return found;
                }
                heard.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("heard nothing of it")
    }
}

/// Writes whatever a test wants written.
#[derive(Debug)]
pub(crate) struct Post;

impl Writer for Post {
    type Request = Message;
    type Response = ();

    async fn write(&mut self, tx: &mut Tx<'_>, messages: &[Message]) -> Result<Vec<()>, Error> {
        messages.iter().map(|message| tx.send(message.clone())).collect()
    }
}

/// Remembers what it hears.
struct Ear(watch::Sender<Arc<Heard>>);

impl Handler for Ear {
    async fn handle(&mut self, _: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        self.0.send_modify(|heard| {
            let known = |record: &Record| {
                Some((record.envelope.as_ref().ok()?.clone(), record.payload.clone()))
            };
            heard.lock().unwrap().extend(batch.iter().filter_map(known));
        });
        Ok(())
    }

    async fn set_aside(&mut self, _: &mut Tx<'_>, _: &Record, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn line(sku: &str, quantity: u32) -> OrderLine {
    OrderLine { sku: sku.to_owned(), quantity }
}

/// Two `SKU-1` under a new request id.
pub(crate) fn request() -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: Uuid::now_v7().to_string(),
        lines: vec![line("SKU-1", 2)],
        payment_method: "tok_ok".to_owned(),
        customer_id: String::new(),
        currency: String::new(),
    }
}

pub(crate) async fn place(
    client: &mut Client,
    request: PlaceOrderRequest,
) -> Result<Order, Status> {
    let PlaceOrderResponse { order } = client.place_order(request).await?.into_inner();
    Ok(order.unwrap())
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    let violations = details.map(|details| details.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}
