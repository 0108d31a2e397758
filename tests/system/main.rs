//! Whole orders, through real processes, a real Kafka and a real Postgres.

mod endings;
mod operators;
mod crashes;
mod command_line;
