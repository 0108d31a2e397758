//! What is held and taken for which order.
//!
//! The way in: `commands` answers what sagas ask (`domain` decides, `store` writes). What the
//! gateway cannot decide at once stays in the table; `caller` calls the gateway for it, and
//! `outcomes` writes what came of the call and gives the answer that the saga waits for.

mod api;
mod caller;
mod commands;
mod config;
mod domain;
pub mod gateway;
mod outcomes;
mod store;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bootstrap::{Server, Tasks};
use messaging::Messaging;
use proto::payment::payment_service_server::PaymentServiceServer;
use saga_contract::CommandSet;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{api::Api, caller::Caller, commands::Payments, outcomes::Outcomes};
pub use config::Config;
pub use gateway::{Gateway, TokenGateway};

/// The service's name wherever it has one: binary, consumer group, source of messages.
pub const SERVICE: &str = "payment-service";

const DATABASE_CONNECTIONS_MAX: u32 = 10;

/// Runs the service with the built-in gateway until `shutdown`. Telemetry is the caller's.
///
/// # Errors
/// Surroundings it cannot work with, or a part of it that failed.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_with(TokenGateway, config, shutdown).await
}

/// As [`run`], with another gateway.
///
/// # Errors
/// Surroundings it cannot work with, or a part of it that failed.
pub async fn run_with<G: Gateway>(
    gateway: G,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    caller::describe_metrics();
    let Config { listen, database_url, gateway_timeout_ms, gateway_calls, common } = config;
    let db = bootstrap::postgres(&common.postgres(&database_url, DATABASE_CONNECTIONS_MAX)).await?;
    sqlx::migrate!("../../migrations/payment")
        .run(&db)
        .await
        .context("migrating the payment database")?;
    let options = common.messaging(SERVICE, &database_url, &[proto::PaymentCommand::TOPIC]);
    let messaging = Messaging::start(options, db.clone(), shutdown.clone()).await?;

    let gateway = Arc::new(gateway);
    let due = Arc::new(Notify::new());
    let (outcomes, writing) = messaging.writer("gateway", Outcomes);
    let lane = outcomes.clone();
    let caller = Caller {
        db: db.clone(),
        gateway: Arc::clone(&gateway),
        outcomes,
        due: Arc::clone(&due),
        timeout: Duration::from_millis(gateway_timeout_ms),
        calls_max: gateway_calls,
    };
    let payments = Payments::new(gateway, due);
    let server = Server::new(SERVICE, proto::FILE_DESCRIPTOR_SET)
        .shutdown_deadline(common.shutdown_deadline)
        .not_ready_yet()
        .add(PaymentServiceServer::new(Api::new(db)));
    let ready = server.health().serving_while(lane.readiness(), shutdown.clone());
    let (answering, keeping) = (messaging.clone(), messaging.clone());
    let result = Tasks::new(shutdown.clone(), common.shutdown_deadline)
        .run("commands", async move { Ok(answering.participant("commands", payments).await?) })
        .run("outcomes", async move { Ok(writing.await?) })
        .run("health", ready)
        .run("gateway", caller.run(shutdown.clone()))
        .run("housekeeping", async move { Ok(keeping.housekeeping().await?) })
        .run("api", server.serve(listen, shutdown))
        .until_stopped()
        .await;
    messaging.flush().await;
    result
}
