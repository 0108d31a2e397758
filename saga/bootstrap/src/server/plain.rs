//! The few things a server answers over plain HTTP.

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tonic::Status;

use super::{guard::is_grpc, health::Health};
use crate::telemetry;

pub(super) fn routes(grpc: Router, health: Health) -> Router {
    let plain = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .with_state(health);
    grpc.merge(plain).fallback(nothing_here)
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::metrics_text())
}

async fn healthz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.is_serving() {
        (StatusCode::OK, "serving\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n")
    }
}

async fn nothing_here(request: Request) -> Response {
    if is_grpc(request.headers()) {
        let path = request.uri().path();
        return Status::unimplemented(format!("this server has no method '{path}'")).into_http();
    }
    (StatusCode::NOT_FOUND, "this is a gRPC server; over plain HTTP it has /healthz and /metrics\n")
        .into_response()
}
