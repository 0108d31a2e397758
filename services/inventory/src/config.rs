//! The settings of the inventory service.

use std::{net::SocketAddr, time::Duration};

/// Catalogue, stock and reservations of the shop
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "inventory-service", version)]
pub struct Config {
    /// Where to listen for gRPC, and HTTP for metrics and health
    #[arg(long, env = "SAGA_LISTEN", default_value = "127.0.0.1:7102", value_name = "HOST:PORT")]
    pub listen: SocketAddr,

    /// The service's own database
    #[arg(
        long,
        env = "SAGA_DATABASE_URL",
        value_name = "URL",
        default_value = "postgres://postgres@127.0.0.1:5432/inventory"
    )]
    pub database_url: String,

    /// List SKU-1 to SKU-9 for sale, if no item is listed yet
    #[arg(long, env = "SAGA_DEMO_CATALOG")]
    pub demo_catalog: bool,

    /// Seconds between two times that every item is told of, for whoever lost what was told before
    #[arg(long, env = "SAGA_CATALOG_INTERVAL", default_value = "300", value_name = "SECONDS",
          value_parser = bootstrap::seconds(1..=86_400))]
    pub catalog_interval: Duration,

    #[command(flatten)]
    pub common: bootstrap::Common,
}
