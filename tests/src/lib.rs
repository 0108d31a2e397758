//! The shop as its users meet it: real processes, a real Kafka, a real Postgres, and gRPC.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test harness speaks by panicking"
)]

mod books;
mod collector;
mod customer;
mod outsider;
mod process;
mod shop;
mod telling;

use std::time::Duration;

pub use crate::{
    books::Books,
    collector::{Collector, Span},
    customer::{Customer, Order, Placed, Wave},
    outsider::Outsider,
    process::{Service, built_binary, free_port_base, refusal},
    shop::{Shop, Site},
    telling::Metrics,
};

/// How long anything may take that should happen.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);
