//! Runs the order service.

use order_service::{Config, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config: Config = bootstrap::config::parse();
    let _telemetry = bootstrap::telemetry::init("order-service", &config.common)?;
    run(config, bootstrap::stop_signal()).await
}
