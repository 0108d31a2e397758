//! What can be set.

use std::{net::SocketAddr, time::Duration};

/// Takes orders and tells what became of them.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "order-service", version)]
pub struct Config {
    /// Where to answer gRPC, /healthz and /metrics
    #[arg(long, env = "SAGA_LISTEN", default_value = "127.0.0.1:7101", value_name = "HOST:PORT")]
    pub listen: SocketAddr,

    /// The service's own Postgres database
    #[arg(
        long,
        env = "SAGA_DATABASE_URL",
        default_value = "postgres://postgres@127.0.0.1:5432/order",
        value_name = "URL"
    )]
    pub database_url: String,

    /// Seconds after which an order that nobody has decided is announced again
    #[arg(long, env = "SAGA_REANNOUNCE_AFTER", default_value = "10", value_name = "SECONDS",
          value_parser = bootstrap::seconds(1..=300))]
    pub reannounce_after: Duration,

    #[command(flatten)]
    pub common: bootstrap::Common,
}
