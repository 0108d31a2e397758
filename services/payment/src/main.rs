//! Runs the payment service.

use payment_service::{Config, SERVICE, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config: Config = bootstrap::config::parse();
    let _telemetry = bootstrap::telemetry::init(SERVICE, &config.common)?;
    run(config, bootstrap::stop_signal()).await
}
