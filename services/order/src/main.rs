//! Runs the order service.

use order_service::{Config, run};

/// Messages are many small pieces of memory, made in one thread and freed in another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config: Config = bootstrap::config::parse();
    let _telemetry = bootstrap::telemetry::init("order-service", &config.common)?;
    run(config, bootstrap::stop_signal()).await
}
