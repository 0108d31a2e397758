//! Runs the whole system in one process: Postgres, Kafka and the four services.

mod background;
mod database;
mod health;
mod services;
mod state;
mod status;
mod system;

use std::path::Path;

use bootstrap::{Common, ServerUrl};
use tokio_util::sync::CancellationToken;

use crate::{
    advice::{here, typed},
    args::{self, Global},
    clients::Addresses,
    failure::Failure,
    output::{Tone, paint, talk},
};
pub(crate) use background::down;
use background::lasting;
use state::{Claim, Found, Running, last_addresses, look};
pub(crate) use status::status;
pub(crate) use system::System;

/// Run the whole system: Postgres, Kafka and the four services
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga up                               until Ctrl-C; data stays in .saga
  saga up --detach                      in the background, until `saga down`
  saga up --fresh                       with empty databases and topics
  saga up --port-base 7200 --data-dir .saga-2
  saga up --kafka 127.0.0.1:9092 --database-url postgres://me@127.0.0.1/postgres")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) start: Start,

    /// Return when everything is ready, and go on in the background
    #[arg(long)]
    detach: bool,

    /// Says that this process is the one in the background
    #[arg(long, hide = true)]
    in_background: bool,
}

/// What the system is made of.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Start {
    /// Wipe the data first
    #[arg(long, conflicts_with_all = ["kafka", "database_url"])]
    pub(crate) fresh: bool,

    /// Use this Kafka instead of starting one
    #[arg(long, env = "SAGA_KAFKA", value_name = "HOST:PORT", value_parser = brokers, hide_env = true)]
    pub(crate) kafka: Option<String>,

    /// Use this Postgres instead of starting one, as a user who may create databases
    #[arg(long, env = "SAGA_DATABASE_URL", value_name = "URL", value_parser = database_url,
          hide_env = true)]
    pub(crate) database_url: Option<String>,

    /// What to log: a level, or levels by module [default: warn, or info in the background]
    #[arg(long, env = "SAGA_LOG", value_name = "FILTER", hide_env = true)]
    log: Option<String>,

    /// OpenTelemetry collector (OTLP over gRPC) that takes the traces
    #[arg(long, env = "SAGA_OTLP_ENDPOINT", value_name = "URL", hide_env = true)]
    otlp_endpoint: Option<String>,

    /// Partitions that every topic has: on one machine as few as the coordinator has lanes [default: 2]
    #[arg(long, env = "SAGA_PARTITIONS", value_name = "COUNT",
          value_parser = clap::value_parser!(i32).range(1..=1024), hide_env = true)]
    partitions: Option<i32>,

    /// Accept a Postgres that can lose committed data
    #[arg(long, env = "SAGA_ALLOW_UNSAFE_POSTGRES", hide_env = true)]
    allow_unsafe_postgres: bool,
}

fn brokers(text: &str) -> Result<String, String> {
    text.split(',').try_for_each(|broker| args::address(broker.trim()).map(drop))?;
    Ok(text.to_owned())
}

fn database_url(text: &str) -> Result<String, String> {
    if database::is_postgres(text) {
        Ok(text.to_owned())
    } else {
        Err("it is no url of a Postgres; write it like postgres://user:password@127.0.0.1:5432/postgres"
            .to_owned())
    }
}

/// The addresses of the system that runs on this data folder. A folder that was named means its own
/// system also while that does not run; the usual one leaves the usual ports to others.
pub(crate) fn known_addresses(data_dir: &Path) -> Option<Addresses> {
    match look(data_dir) {
        Found::Running(running) => Some(running.addresses),
        _ if data_dir == Path::new(DEFAULT_DATA_DIR) => None,
        Found::Nothing | Found::Stale(_) | Found::Held => last_addresses(data_dir),
    }
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let found = |running: &Running| {
        let hint = format!("\nIt was running already; {} stops it.", here("down"));
        global.output.value(running, || welcome(running, &hint))
    };
    if args.detach && !args.in_background {
        if let Some(running) = of_another(&args.start, global).await? {
            return found(&running);
        }
        let running = background::start(&global.data_dir).await?;
        return global.output.value(&running, || welcome(&running, ""));
    }

    // Before there is a claim that a wrong setting or Ctrl-C must not leave behind.
    let default_log = if args.in_background { "info" } else { CALM_LOG };
    let common = common(&args.start, default_log)?;
    let _telemetry = bootstrap::telemetry::init("saga", &common)?;
    let stop = bootstrap::stop_signal();
    let claim = match claim(&args.start, global, &stop).await? {
        Claimed::Ours(claim) => claim,
        Claimed::Theirs(running) => return found(&running),
    };
    let system = System::start(claim, &args.start, &common, &stop).await?;
    if args.in_background {
        return system.until_stopped(&stop).await;
    }
    let running = system.running();
    match global.output.value(&running, || welcome(&running, STOP_HINT)) {
        Ok(()) => system.until_stopped(&stop).await,
        // Whoever read this has gone, as in `saga up | head -1`.
        told => told.and(system.stop().await),
    }
}

/// For a terminal: what a person should know of. A Kafka that is starting says much that is not.
pub(crate) const CALM_LOG: &str =
    "warn,librdkafka=off,rdkafka=off,messaging::consumer::subscription=error";

/// What to say below the addresses of a system that runs in the foreground.
pub(crate) const STOP_HINT: &str = "\nCtrl-C stops it; the data stays.";

/// Who may run a system on the data folder.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// This process.
    Ours(Claim),
    /// Another one, and it is ready.
    Theirs(Running),
}

/// The right to run a system on the data folder, or the system that another process runs there.
///
/// # Errors
/// Another process runs another system than the one that is wanted, or does not get it ready; or it is
/// told to stop while it waits for that one.
pub(crate) async fn claim(
    start: &Start,
    global: &Global,
    stop: &CancellationToken,
) -> Result<Claimed, Failure> {
    loop {
        let theirs = tokio::select! {
            theirs = of_another(start, global) => theirs?,
            () = stop.cancelled() => return Err(Failure::new("stopped while waiting")),
        };
        if let Some(running) = theirs {
            return Ok(Claimed::Theirs(running));
        }
        // Another one may be quicker.
        if let Some(claim) = Claim::on(&global.data_dir, addresses(global))? {
            return Ok(Claimed::Ours(claim));
        }
    }
}

/// The system that another process runs, if one does, once it is ready: starting twice is no error.
///
/// # Errors
/// What is wanted is another system than the one that runs, or that one does not get ready.
async fn of_another(start: &Start, global: &Global) -> Result<Option<Running>, Failure> {
    while let Some(running) = lasting(&global.data_dir).await? {
        if let Some(running) = join(&running, start, global).await? {
            return Ok(Some(running));
        }
    }
    Ok(None)
}

/// Nothing when it was there and has just ended: a killed process is seen a moment longer.
async fn join(
    running: &Running,
    start: &Start,
    global: &Global,
) -> Result<Option<Running>, Failure> {
    check_is_wanted(running, start, global.place.port_base)?;
    if !running.ready {
        talk(&format!("process {} is starting it just now", running.pid));
        return background::until_ready(&global.data_dir).await.map(Some);
    }
    match look(&global.data_dir) {
        Found::Running(running) => Ok(Some(*running)),
        Found::Nothing | Found::Stale(_) | Found::Held => Ok(None),
    }
}

fn check_is_wanted(
    running: &Running,
    start: &Start,
    port_base: Option<u16>,
) -> Result<(), Failure> {
    let refused = |what: String| Failure::of_code(tonic::Code::FailedPrecondition, what);
    let pid = running.pid;
    if start.fresh {
        let what = format!("--fresh cannot wipe the data of a running system (process {pid})");
        return Err(refused(what).next(format!("stop it with {} first", here("down"))));
    }
    let another =
        || refused(format!("the system on {} is another one", running.data_dir.display()));
    let wanted = port_base.map(Addresses::from_port_base);
    if wanted.is_some_and(|wanted| wanted != running.addresses) {
        let at = &running.addresses.coordinator;
        return Err(another()
            .why(format!("process {pid} runs it, with its first port at {at}"))
            .next(format!(
                "leave --port-base out, stop it with {}, or choose another --data-dir",
                here("down")
            )));
    }
    let has = |flag: &str, value: String| {
        Err(another()
            .why(format!("process {pid} runs it with {flag} {value}"))
            .next(format!("leave {flag} out, or stop it with {} first", here("down"))))
    };
    if start.kafka.as_ref().is_some_and(|wanted| *wanted != running.kafka) {
        return has("--kafka", running.kafka.clone());
    }
    let url = |text: &String| ServerUrl::parse(text).map(|url| url.without_secrets());
    if start.database_url.as_ref().is_some_and(|it| url(it) != url(&running.database_url)) {
        return has("--database-url", running.database_url.clone());
    }
    match running.partitions {
        Some(count) if start.partitions.is_some_and(|wanted| wanted != count) => {
            has("--partitions", count.to_string())
        }
        _ => Ok(()),
    }
}

/// The settings that all services share, with what `bootstrap` fills in by itself.
pub(crate) fn common(start: &Start, default_log: &str) -> Result<Common, Failure> {
    let mut flags = vec![
        "--log".to_owned(),
        start.log.clone().unwrap_or_else(|| default_log.to_owned()),
        format!("--partitions={}", start.partitions.unwrap_or(PARTITIONS)),
    ];
    flags.extend(start.kafka.as_ref().map(|kafka| format!("--kafka={kafka}")));
    flags.extend(start.otlp_endpoint.as_ref().map(|url| format!("--otlp-endpoint={url}")));
    if start.allow_unsafe_postgres {
        flags.push("--allow-unsafe-postgres".to_owned());
    }
    Ok(services::parse::<services::OnlyCommon>(flags)?.common)
}

/// The ports that the system is to listen at: those it had, unless told otherwise.
fn addresses(global: &Global) -> Addresses {
    Addresses::in_a_row(&global.place, || last_addresses(&global.data_dir))
}

/// As few as the coordinator has lanes: each costs requests.
const PARTITIONS: i32 = 2;
/// Where a system keeps its data unless told otherwise.
pub(crate) const DEFAULT_DATA_DIR: &str = ".saga";

/// Where everything is, and what to try.
pub(crate) fn welcome(running: &Running, hint: &str) -> String {
    let mut text = paint(Tone::Strong, "The system is up.");
    let mut line = |name: &str, address: &str| {
        text.push_str(&format!("\n  {name:<18} {address}"));
    };
    for (name, address) in running.addresses.named() {
        line(name, address);
    }
    line("Kafka", &running.kafka);
    line("Postgres", &running.database_url);
    line("data", &running.data_dir.display().to_string());
    let commands = [
        "order submit --sku SKU-1 --quantity 2 --watch",
        "order submit --sku SKU-2 --payment-method tok_declined --watch",
        "list --since 10m",
        "stock list",
        "bench --rate 200 --duration 10s",
    ];
    let commands: String = commands.iter().map(|it| format!("  {}\n", typed(it))).collect();
    format!(
        "{text}\n\n{}\n{commands}  \
         grpcurl -plaintext -d '{{}}' {} shop.order.v1.OrderService/ListCatalog\n{}",
        paint(
            Tone::Strong,
            "Try (as `cargo run --release --` instead of `saga`, if it is not installed):"
        ),
        running.addresses.order,
        paint(Tone::Dim, hint)
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests;
