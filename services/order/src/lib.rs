//! The order service: takes orders, answers the saga's commands about them, and tells what became
//! of each. `domain` decides, `store` writes, `placing` says what an order must be.

mod api;
mod catalog;
mod changes;
mod commands;
mod config;
mod counters;
mod domain;
mod placing;
mod refused;
mod store;
mod writes;

use anyhow::Context;
use bootstrap::{Server, Tasks};
use messaging::Messaging;
use proto::{
    OrderCommand,
    inventory::ItemListed,
    order::{OrderPlaced, order_service_server::OrderServiceServer},
};
use saga_contract::{CommandSet, Event};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Orders, catalog::CatalogFeed, changes::Changes, commands::OrderParticipant,
    writes::OrderWriter,
};
pub use config::Config;

/// Crate, binary, consumer group, source of messages.
const SERVICE: &str = "order-service";
const TOPICS: [&str; 3] = [OrderPlaced::TOPIC, OrderCommand::TOPIC, ItemListed::TOPIC];
const MAX_CONNECTIONS: u32 = 10;

/// Runs the service until `shutdown`.
///
/// # Errors
/// What keeps it from starting, such as a Postgres or Kafka that does not answer; or the first
/// failure of a part, after which all of it stops.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    counters::describe();
    let Config { listen, database_url, reannounce_after, common } = config;
    let db = bootstrap::postgres(&common.postgres(&database_url, MAX_CONNECTIONS)).await?;
    let options = common.messaging(SERVICE, &database_url, &TOPICS);
    let messaging = Messaging::start(options, db.clone(), shutdown.clone()).await?;
    // After messaging's own: these build upon its tables.
    sqlx::migrate!("../../migrations/order").run(&db).await.context("migrating the database")?;

    let changes = Changes::default();
    let (writes, writing) = messaging.writer("api", OrderWriter::new(changes.clone()));
    let readiness = writes.readiness();
    let orders = Orders::new(db.clone(), writes, changes.clone());
    let server = Server::new(SERVICE, proto::FILE_DESCRIPTOR_SET)
        .shutdown_deadline(common.shutdown_deadline)
        .not_ready_yet()
        .add(OrderServiceServer::new(orders));
    let health = server.health();
    let ready = health.serving_while(readiness, shutdown.clone());
    let [commands, feed, announcing, housekeeping] = [(); 4].map(|()| messaging.clone());
    let participant = OrderParticipant::new(changes.clone());

    let result = Tasks::new(shutdown.clone(), common.shutdown_deadline)
        .run("writes", async { Ok(writing.await?) })
        .run("health", ready)
        .run("commands", async move { Ok(commands.participant("commands", participant).await?) })
        .run("catalog", async move { Ok(feed.subscriber("catalog", CatalogFeed).await?) })
        .run("announcing", async move { Ok(announcing.announcing(reannounce_after).await?) })
        .run("changes", changes::look_after(changes, db, shutdown.clone()))
        .run("housekeeping", async move { Ok(housekeeping.housekeeping().await?) })
        .run("api", server.serve(listen, shutdown))
        .until_stopped()
        .await;
    messaging.flush().await;
    result
}
