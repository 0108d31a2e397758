//! Finds or brings a Postgres and an Apache Kafka on this machine, without containers, for `saga up`
//! and for all tests. It knows no topic, no service and no schema.

pub mod cluster;
pub mod kafka;
pub mod postgres;

mod error;
mod folder;
mod orphan;
mod port;
mod prerequisites;
mod process;
mod progress;
mod tool;
mod watchdog;

pub use error::Error;
pub use folder::remove;
pub use kafka::Kafka;
pub use port::free as free_port;
pub use postgres::Postgres;
pub use prerequisites::check;
pub use progress::Progress;
