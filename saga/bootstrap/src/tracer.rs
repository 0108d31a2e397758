//! Sends finished spans to an OpenTelemetry collector. A span's trace id is the order's id, so that
//! one order is one trace across all services.

use std::{
    collections::HashMap,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use tokio::sync::{mpsc, oneshot};

/// One piece of work on a message or a request, already finished.
#[derive(Debug, Clone)]
pub struct FinishedSpan {
    /// Who did the work; becomes `service.name`.
    pub service: &'static str,
    pub trace_id: u128,
    pub span_id: u64,
    pub parent_span_id: Option<u64>,
    pub name: String,
    pub kind: Kind,
    pub started_at: SystemTime,
    pub finished_at: SystemTime,
    /// Why the work was not done.
    pub error: Option<String>,
    pub attributes: Vec<(&'static str, String)>,
}

/// Which side of a message or request the work was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Server,
    Producer,
    Consumer,
}

/// Whether spans are sent anywhere; ask before building one.
pub fn enabled() -> bool {
    QUEUE.get().is_some_and(|queue| !queue.is_closed())
}

/// Hands a span over to be sent. Never blocks: what does not fit is dropped and counted in
/// `trace_spans_dropped_total`.
pub fn export(span: FinishedSpan) {
    if let Some(queue) = QUEUE.get()
        && queue.try_send(span).is_err()
    {
        count_dropped(1);
    }
}

static QUEUE: OnceLock<mpsc::Sender<FinishedSpan>> = OnceLock::new();

fn count_dropped(spans: usize) {
    metrics::counter!("trace_spans_dropped_total").increment(spans as u64);
}

/// Spans on their way to one collector.
pub(crate) struct Spans {
    endpoint: String,
    queue: mpsc::Receiver<FinishedSpan>,
}

pub(crate) fn open(endpoint: &str) -> anyhow::Result<Spans> {
    let uri: axum::http::Uri =
        endpoint.parse().with_context(|| format!("OTLP endpoint '{endpoint}' is not a URL"))?;
    ensure!(
        uri.scheme_str() == Some("http") && uri.host().is_some(),
        "OTLP endpoint '{endpoint}' must be like 'http://127.0.0.1:4317' (gRPC, no TLS); \
         run a collector near this process if the next one needs TLS"
    );
    let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
    QUEUE.set(sender).map_err(|_| anyhow::anyhow!("traces are already sent somewhere"))?;
    Ok(Spans { endpoint: endpoint.to_owned(), queue })
}

/// Sends spans until `stop` is dropped and the queue is empty.
pub(crate) async fn send(spans: Option<Spans>, mut stop: oneshot::Receiver<()>) {
    let Some(mut spans) = spans else {
        drop(stop.await);
        return;
    };
    let mut collector = Collector::at(spans.endpoint);
    let mut batch = Vec::with_capacity(BATCH_LIMIT);
    while !spans.queue.is_closed() {
        tokio::select! {
            _ = &mut stop => spans.queue.close(),
            _ = spans.queue.recv_many(&mut batch, BATCH_LIMIT) => {
                let is_full = batch.len() == BATCH_LIMIT;
                collector.take(&mut batch).await;
                // Let the next batch gather, unless it has already, or the process stops.
                if !is_full && tokio::time::timeout(GATHER, &mut stop).await.is_ok() {
                    spans.queue.close();
                }
            }
        }
    }
    let rest = async {
        while spans.queue.recv_many(&mut batch, BATCH_LIMIT).await > 0 {
            collector.take(&mut batch).await;
        }
    };
    if tokio::time::timeout(FLUSH_DEADLINE, rest).await.is_err() {
        tracing::warn!(endpoint = collector.endpoint, "the last spans were not taken in time");
    }
}

/// The collector as the services of this process see it: each is a resource of its own.
struct Collector {
    endpoint: String,
    exporters: HashMap<&'static str, SpanExporter>,
    is_reachable: bool,
}

impl Collector {
    fn at(endpoint: String) -> Self {
        Self { endpoint, exporters: HashMap::new(), is_reachable: true }
    }

    async fn take(&mut self, batch: &mut Vec<FinishedSpan>) {
        let mut by_service: HashMap<_, Vec<_>> = HashMap::new();
        for span in batch.drain(..) {
            by_service.entry(span.service).or_default().push(as_data(span));
        }
        for (service, spans) in by_service {
            let span_count = spans.len();
            match self.export(service, spans).await {
                Ok(()) => self.is_reachable = true,
                Err(error) => {
                    count_dropped(span_count);
                    // Once for each outage, or a missing collector would fill the logs.
                    if std::mem::replace(&mut self.is_reachable, false) {
                        let error = format!("{error:#}");
                        tracing::warn!(endpoint = self.endpoint, error, "spans are not taken");
                    }
                }
            }
        }
    }

    async fn export(&mut self, service: &'static str, spans: Vec<SpanData>) -> anyhow::Result<()> {
        if !self.exporters.contains_key(service) {
            let mut exporter = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(&self.endpoint)
                .with_timeout(EXPORT_TIMEOUT)
                .build()?;
            exporter.set_resource(&Resource::builder().with_service_name(service).build());
            self.exporters.insert(service, exporter);
        }
        let exporter = self.exporters.get(service).context("no exporter")?;
        Ok(exporter.export(spans).await?)
    }
}

fn as_data(span: FinishedSpan) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(span.trace_id),
            SpanId::from(span.span_id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: span.parent_span_id.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.kind != Kind::Producer,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: span.name.into(),
        start_time: span.started_at,
        end_time: span.finished_at,
        attributes: span
            .attributes
            .into_iter()
            .map(|(key, value)| KeyValue::new(key, value))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("saga").build(),
    }
}

const QUEUE_CAPACITY: usize = 8192;
const BATCH_LIMIT: usize = 512;
const GATHER: Duration = Duration::from_millis(100);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);
