//! Runs the saga coordinator.

use bootstrap::{config, stop_signal, telemetry};
use saga_coordinator::Config;

/// Messages are many small pieces of memory, made in one thread and freed in another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config: Config = config::parse();
    let _telemetry = telemetry::init("saga-coordinator", &config.common)?;
    saga_coordinator::run(config, stop_signal()).await
}
