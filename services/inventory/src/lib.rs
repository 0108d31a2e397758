//! What there is, what it costs, and what is set aside for whom.
//!
//! The way in: `commands` answers what sagas ask (`domain` decides, `store` writes); `api` answers
//! what people ask, and what it changes goes through `desk` (`catalog` decides).

mod announcing;
mod api;
mod catalog;
mod commands;
mod config;
mod demo;
mod desk;
mod domain;
mod store;

use anyhow::Context;
use bootstrap::{Server, Tasks};
use messaging::Messaging;
use proto::inventory::{ItemListed, inventory_service_server::InventoryServiceServer};
use saga_contract::{CommandSet, Event};
use tokio_util::sync::CancellationToken;

use crate::{api::Api, commands::Inventory, desk::Desk};
pub use config::Config;

/// The service's name wherever it has one: binary, consumer group, source of messages.
pub const SERVICE: &str = "inventory-service";

const DATABASE_CONNECTIONS_MAX: u32 = 10;

/// Runs the service until `shutdown`. Telemetry is the caller's.
///
/// # Errors
/// Surroundings it cannot work with, or a part of it that failed.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Config { listen, database_url, demo_catalog, catalog_interval, common } = config;
    let db = bootstrap::postgres(&common.postgres(&database_url, DATABASE_CONNECTIONS_MAX)).await?;
    sqlx::migrate!("../../migrations/inventory")
        .run(&db)
        .await
        .context("migrating the inventory database")?;
    let topics = [proto::InventoryCommand::TOPIC, ItemListed::TOPIC];
    let options = common.messaging(SERVICE, &database_url, &topics);
    let messaging = Messaging::start(options, db.clone(), shutdown.clone()).await?;

    let (desk, writing) = messaging.writer("api", Desk);
    let server = Server::new(SERVICE, proto::FILE_DESCRIPTOR_SET)
        .shutdown_deadline(common.shutdown_deadline)
        .not_ready_yet()
        .add(InventoryServiceServer::new(Api::new(db.clone(), desk.clone())));
    let (health, writes) = (server.health(), desk.clone());
    let ready = health.serving_while(writes.readiness(), shutdown.clone());
    let (answering, keeping) = (messaging.clone(), messaging.clone());
    let announcing = announcing::run(db, desk, demo_catalog, catalog_interval, shutdown.clone());
    let result = Tasks::new(shutdown.clone(), common.shutdown_deadline)
        .run("commands", async move { Ok(answering.participant("commands", Inventory).await?) })
        .run("writes", async move { Ok(writing.await?) })
        .run("health", ready)
        .run("catalogue", announcing)
        .run("housekeeping", async move { Ok(keeping.housekeeping().await?) })
        .run("api", server.serve(listen, shutdown))
        .until_stopped()
        .await;
    messaging.flush().await;
    result
}
