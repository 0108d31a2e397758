use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bootstrap::{
    Common, telemetry,
    tracer::{self, FinishedSpan, Kind},
};
use clap::Parser;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, span::SpanKind},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ResourceSpans>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    common: Common,
}

fn span(service: &'static str, span_id: u64, error: Option<&str>) -> FinishedSpan {
    let started_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    FinishedSpan {
        service,
        trace_id: ORDER,
        span_id,
        parent_span_id: Some(7),
        name: "process payment.commands.v1".to_owned(),
        kind: Kind::Consumer,
        started_at,
        finished_at: started_at + Duration::from_millis(3),
        error: error.map(str::to_owned),
        attributes: vec![("messaging.system", "kafka".to_owned())],
    }
}

const ORDER: u128 = 0x0190_5f3e_7c4a_7bbb_8ccc_0123_4567_89ab;

/// One test, because a process has one telemetry.
#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_the_collector_by_service_and_metrics_have_buckets_and_help() {
    let collector = Collector::default();
    let endpoint = collector.listen().await;
    let common =
        Settings::parse_from(["test", "--log", "off", "--otlp-endpoint", &endpoint]).common;

    assert!(!tracer::enabled());
    let telemetry = telemetry::init("saga", &common).unwrap();
    assert!(tracer::enabled());
    assert!(telemetry::init("saga", &common).is_err());

    metrics::histogram!("handling_seconds").record(0.004);
    let text = telemetry::metrics_text();
    assert!(text.contains(r#"handling_seconds_bucket{service="saga",le="0.005"} 1"#), "{text}");
    metrics::gauge!("outbox_backlog").set(1.0);
    let text = telemetry::metrics_text();
    assert!(text.contains("# HELP outbox_backlog Records"), "{text}");

    tracer::export(span("payment-service", 1, Some("no gateway")));
    tracer::export(span("order-service", 2, None));
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();
    assert!(!tracer::enabled());

    let mut received = collector.0.lock().unwrap().clone();
    received.sort_by_key(service_name);
    let names: Vec<_> = received.iter().map(service_name).collect();
    assert_eq!(names, ["order-service", "payment-service"]);

    let payment = &received[1].scope_spans[0].spans[0];
    assert_eq!(payment.trace_id, ORDER.to_be_bytes());
    assert_eq!(payment.span_id, 1_u64.to_be_bytes());
    assert_eq!(payment.parent_span_id, 7_u64.to_be_bytes());
    assert_eq!(payment.kind(), SpanKind::Consumer);
    assert_eq!(payment.name, "process payment.commands.v1");
    assert_eq!(payment.end_time_unix_nano - payment.start_time_unix_nano, 3_000_000);
    assert_eq!(payment.status.as_ref().unwrap().message, "no gateway");
    assert_eq!(payment.attributes[0].key, "messaging.system");
}

fn service_name(spans: &ResourceSpans) -> String {
    let attributes = &spans.resource.as_ref().unwrap().attributes;
    let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
    let Some(Value::StringValue(name)) = &name.value.as_ref().unwrap().value else {
        panic!("service.name is no text: {name:?}")
    };
    name.clone()
}
