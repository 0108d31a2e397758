//! What every process of the system needs and no process wants to write: configuration, telemetry,
//! the Postgres pool, the gRPC and HTTP server, and stopping.
//! It knows no message of the shop and no saga.

mod answering;
pub mod checks;
pub mod config;
mod flags;
mod healthcheck;
pub mod paging;
mod participation;
mod postgres;
pub mod problem;
mod server;
mod server_url;
mod stopping;
pub mod telemetry;
pub mod tracer;

pub use answering::{spawned, time, timestamp};
pub use checks::Violations;
pub use flags::{Common, LogFormat, seconds};
pub use postgres::{PostgresOptions, postgres};
pub use problem::Problem;
pub use server::{Health, Server, bind};
pub use server_url::ServerUrl;
pub use stopping::{Tasks, stop_signal};
