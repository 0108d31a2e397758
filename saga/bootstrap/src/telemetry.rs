//! What a process tells about itself: logs on stderr, metrics for Prometheus, traces for a
//! collector.

mod help;

use std::{
    io::IsTerminal,
    sync::OnceLock,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::oneshot;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{Common, LogFormat, tracer};

/// Keeps telemetry running; what is still to be sent is sent when it is dropped, so keep it until
/// the end of `main`.
#[derive(Debug)]
pub struct Telemetry {
    stop: Option<oneshot::Sender<()>>,
    worker: Option<JoinHandle<()>>,
}

/// Starts logs, metrics and, when an endpoint is configured, traces: once, first thing in `main`.
///
/// # Errors
/// A log filter or endpoint that cannot be read, or a second call in one process.
pub fn init(service: &'static str, common: &Common) -> anyhow::Result<Telemetry> {
    logs(common)?;
    let metrics = metrics(service)?;
    let spans = common.otlp_endpoint.as_deref().map(tracer::open).transpose()?;

    // A thread and runtime of its own: traces are sent even while the process stops.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime of telemetry")?;
    let (stop, stopped) = oneshot::channel();
    let worker = thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = upkeep(metrics) => {}
                    () = tracer::send(spans, stopped) => {}
                }
            });
        })
        .context("starting the thread of telemetry")?;
    Ok(Telemetry { stop: Some(stop), worker: Some(worker) })
}

/// All metrics of this process in the Prometheus text format; empty before [`init`].
pub fn metrics_text() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

fn logs(common: &Common) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&common.log).with_context(|| {
        format!(
            "log filter '{}' cannot be read; use a level, or levels by module such as \
             'info,messaging=debug'",
            common.log
        )
    })?;
    let filter = filter.add_directive(CLOSING_A_FENCED_CONSUMER.parse()?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match common.log_format {
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            registry.with(lines.with_ansi(is_terminal)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .context("starting logs")?;
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
    Ok(())
}

fn metrics(service: &'static str) -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .add_global_label("service", service)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets(&COUNTS)?
        .install_recorder()
        .context("starting metrics")?;
    help::describe();
    Ok(METRICS.get_or_init(|| handle).clone())
}

/// Empties the histograms' buffers, which otherwise grow until somebody scrapes.
async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(worker) = self.worker.take()
            && worker.join().is_err()
        {
            tracing::warn!("telemetry panicked");
        }
    }
}

/// The client library of Kafka calls it an error that a consumer whose place is gone cannot leave the
/// group; the lane has told of it by then.
const CLOSING_A_FENCED_CONSUMER: &str = "rdkafka::consumer::base_consumer=off";
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Buckets of durations: from half a millisecond to a saga that waited for a minute.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0,
    15.0, 60.0,
];
/// Buckets of everything else, such as the sizes of batches.
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0];
