//! Whole orders, through real processes, a real Kafka and a real Postgres.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod books;
mod endings;
mod crashes;
mod outages;
mod starts;
mod telling;
mod rubbish;
mod operators;
mod command_line;
