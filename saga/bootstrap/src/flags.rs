//! The flags that all processes share.

use std::{ops::RangeInclusive, time::Duration};

/// Flags that all processes share; each flattens them: `#[command(flatten)] pub common: Common`.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Addresses of Kafka brokers, separated by commas
    #[arg(long, env = "SAGA_KAFKA", default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    pub kafka: String,

    /// Stands before the name of every Kafka topic and group, for instance `test.`: several systems
    /// share the brokers without meeting.
    #[arg(long, env = "SAGA_NAMESPACE", default_value = "")]
    pub namespace: String,

    /// Partitions that every topic has; a topic with another number is refused
    #[arg(long, env = "SAGA_PARTITIONS", default_value_t = 4, value_name = "COUNT",
          value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub partitions: i32,

    /// Name of this process among its equals; it keeps its partitions over a restart
    #[arg(long, env = "SAGA_INSTANCE", default_value = "0", value_name = "NAME")]
    pub instance: String,

    /// Days for which a service remembers what it answered. A saga that is stuck for longer cannot be
    /// retried: its commands are set aside instead of being guessed at
    #[arg(long, env = "SAGA_INBOX_DAYS", default_value_t = 7, value_name = "DAYS",
          value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub inbox_days: u16,

    /// What to log: a level, or levels by module such as `info,messaging=debug`
    #[arg(long, env = "SAGA_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How logs look on stderr
    #[arg(long, env = "SAGA_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// OpenTelemetry collector (OTLP over gRPC) that takes the traces; without it there are none
    #[arg(long, env = "SAGA_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// Seconds that running work gets to end when the process is told to stop
    #[arg(long, env = "SAGA_SHUTDOWN_DEADLINE", default_value = "10", value_name = "SECONDS",
          value_parser = seconds(0..=3_600))]
    pub shutdown_deadline: Duration,

    /// Accept a Postgres that can lose committed data (`fsync`, `full_page_writes` or
    /// `synchronous_commit` off)
    #[arg(long, env = "SAGA_ALLOW_UNSAFE_POSTGRES")]
    pub allow_unsafe_postgres: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Reads a flag that is a number of seconds in this range, with or without a fraction.
pub fn seconds(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let (least, most) = (*range.start(), *range.end());
        let allowed = Duration::from_secs(least)..=Duration::from_secs(most);
        match text.parse::<f64>().map(Duration::try_from_secs_f64) {
            Ok(Ok(duration)) if allowed.contains(&duration) => Ok(duration),
            _ => Err(format!("expected seconds from {least} to {most}")),
        }
    }
}
