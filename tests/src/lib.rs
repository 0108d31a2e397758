//! The shop as its users meet it: real processes, a real Kafka, a real Postgres, and gRPC.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test harness speaks by panicking"
)]

mod books;
mod process;
mod shop;

pub use crate::{
    books::Books,
    process::{Service, built_binary, free_port_base},
    shop::{Order, Shop},
};
