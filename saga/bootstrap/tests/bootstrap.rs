//! The parts of a process together, as its clients, its collector and its database meet them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests end the test")]

#[path = "bootstrap/postgres.rs"]
mod postgres;
#[path = "bootstrap/server.rs"]
mod server;
#[path = "bootstrap/telemetry.rs"]
mod telemetry;
