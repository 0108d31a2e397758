//! How the coordinator is configured.

use std::{net::SocketAddr, time::Duration};

use bootstrap::Common;

/// Runs sagas: hears events and answers, asks participants, remembers where each saga stands.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "saga-coordinator", version)]
pub struct Config {
    /// Where gRPC, /metrics and /healthz listen.
    #[arg(long, env = "SAGA_LISTEN", default_value = "127.0.0.1:7100")]
    pub listen: SocketAddr,

    /// The coordinator's database.
    #[arg(
        long,
        env = "SAGA_DATABASE_URL",
        default_value = "postgres://postgres@127.0.0.1:5432/saga"
    )]
    pub database_url: String,

    /// Consumers that share the partitions. It makes half of all steps: two serve it best.
    #[arg(long, env = "SAGA_LANES", default_value_t = 2, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,

    /// After so many milliseconds without an answer, outstanding commands are sent again.
    #[arg(long, env = "SAGA_RESEND_AFTER_MS", default_value_t = 5_000)]
    pub resend_after_ms: u64,

    /// For so many days sagas that have ended can be looked up. Topics keep their records for 7: a
    /// record that is read again has to find the saga that it began.
    #[arg(long, env = "SAGA_KEEP_ENDED_DAYS", default_value_t = 30, value_name = "DAYS",
          value_parser = clap::value_parser!(u16).range(8..=36_500))]
    pub keep_ended_days: u16,

    /// Start although a saga is under way whose version is not registered. It waits for a build that
    /// knows it.
    #[arg(long, env = "SAGA_ALLOW_UNREGISTERED")]
    pub allow_unregistered: bool,

    #[command(flatten)]
    pub common: Common,
}

impl Config {
    pub(crate) fn resend_after(&self) -> Duration {
        Duration::from_millis(self.resend_after_ms)
    }

    pub(crate) fn keep_ended(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.keep_ended_days))
    }
}
