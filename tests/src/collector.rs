//! An OpenTelemetry collector that keeps what it is sent.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::ResourceSpans,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

#[derive(Debug, Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<Span>>>);

/// As far as tests look at it.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub trace_id: Vec<u8>,
    pub id: Vec<u8>,
    /// Empty for the first span of a trace.
    pub parent_id: Vec<u8>,
}

impl Collector {
    /// Gives the endpoint.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    /// What has come so far of one trace.
    pub fn trace(&self, trace_id: &[u8]) -> Vec<Span> {
        let spans = self.0.lock().expect("no panic");
        spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(spans);
        self.0.lock().expect("no panic").extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn spans(of_resource: ResourceSpans) -> impl Iterator<Item = Span> {
    let service = service_name(&of_resource);
    let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| Span {
        service: service.clone(),
        name: span.name,
        trace_id: span.trace_id,
        id: span.span_id,
        parent_id: span.parent_span_id,
    })
}

fn service_name(spans: &ResourceSpans) -> String {
    let attributes = spans.resource.iter().flat_map(|resource| &resource.attributes);
    let name =
        attributes.filter(|attribute| attribute.key == "service.name").find_map(|name| match &name
            .value
            .as_ref()?
            .value
        {
            Some(Value::StringValue(name)) => Some(name.clone()),
            _ => None,
        });
    name.expect("a service has a name")
}
