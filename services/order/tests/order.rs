//! The order service as its callers and the sagas see it: over gRPC and Kafka, on a real Postgres.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "order/commands.rs"]
mod commands;
#[path = "order/losses.rs"]
mod losses;
#[path = "order/placing.rs"]
mod placing;
#[path = "order/reading.rs"]
mod reading;
#[path = "order/streams.rs"]
mod streams;
#[path = "order/world.rs"]
mod world;
