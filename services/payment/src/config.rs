//! The settings of the payment service.

use std::net::SocketAddr;

/// Payments of the shop: authorized, captured and voided through a payment gateway
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "payment-service", version)]
pub struct Config {
    /// Where to listen for gRPC, and HTTP for metrics and health
    #[arg(long, env = "SAGA_LISTEN", default_value = "127.0.0.1:7103", value_name = "HOST:PORT")]
    pub listen: SocketAddr,

    /// The service's own database
    #[arg(
        long,
        env = "SAGA_DATABASE_URL",
        value_name = "URL",
        default_value = "postgres://postgres@127.0.0.1:5432/payment"
    )]
    pub database_url: String,

    /// How long to wait for the payment gateway before it is called again
    #[arg(long, env = "SAGA_GATEWAY_TIMEOUT_MS", default_value_t = 3_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub gateway_timeout_ms: u64,

    /// Calls of the payment gateway that may be under way at the same time
    #[arg(long, env = "SAGA_GATEWAY_CALLS", default_value_t = 64, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub gateway_calls: u16,

    #[command(flatten)]
    pub common: bootstrap::Common,
}
