//! Effects once, over a real Kafka and a real Postgres: every way a message can come twice, too
//! early, too late or broken, and every way the ground can give way under a lane.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod announcing;
mod broker;
mod commands;
mod counted;
mod events;
mod hanging;
mod lanes;
mod poison;
mod post;
mod shop;
mod wire;
mod world;
mod writers;
