//! Whole orders, through real processes, a real Kafka and a real Postgres.

mod command_line;
mod crashes;
mod endings;
mod operators;
