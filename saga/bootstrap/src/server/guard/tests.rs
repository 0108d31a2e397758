use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, header::CONTENT_TYPE},
    routing::post,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

use super::{Guard, MAX_UNDER_WAY, Methods, guard, parse_timeout};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const GET: &str = "/shop.order.v1.OrderService/GetOrder";
const SUBMIT: &str = "/shop.order.v1.OrderService/SubmitOrders";

fn call(path: &str) -> Request<Body> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/grpc");
    request.body(Body::empty()).unwrap()
}

fn new_guard(end_streams: CancellationToken) -> Arc<Guard> {
    Arc::new(Guard::new(Methods::read(proto::FILE_DESCRIPTOR_SET).unwrap(), end_streams))
}

async fn code(server: &Router, path: &str) -> Option<Code> {
    let answer = server.clone().oneshot(call(path)).await.unwrap();
    Status::from_header_map(answer.headers()).map(|status| status.code())
}

#[tokio::test]
async fn a_call_over_the_limit_is_told_to_come_again() {
    let state = new_guard(CancellationToken::new());
    let server = Router::new()
        .route(CHECK, post(async || "answered"))
        .route(GET, post(async || "answered"))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), guard));

    let taken = state.under_way.try_acquire_many(MAX_UNDER_WAY.try_into().unwrap()).unwrap();
    assert_eq!(code(&server, GET).await, Some(Code::ResourceExhausted));
    // Who asks after the health of a busy server would restart it.
    assert_eq!(code(&server, CHECK).await, None);

    drop(taken);
    assert_eq!(code(&server, GET).await, None);
}

#[tokio::test]
async fn a_stream_of_requests_ends_when_the_process_stops() {
    let end_streams = CancellationToken::new();
    let server = Router::new()
        .route(SUBMIT, post(std::future::pending::<&str>))
        .layer(axum::middleware::from_fn_with_state(new_guard(end_streams.clone()), guard));
    let stop = async { end_streams.cancel() };
    let (code, ()) = tokio::join!(code(&server, SUBMIT), stop);
    assert_eq!(code, Some(Code::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_the_guard_answers_by_itself_has_a_reason_for_programs() {
    let server = Router::new()
        .route(GET, post(std::future::pending::<&str>))
        .layer(axum::middleware::from_fn_with_state(new_guard(CancellationToken::new()), guard));
    for (timeout, code, reason) in [
        ("50m", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("soon", Code::InvalidArgument, "INVALID_ARGUMENT"),
    ] {
        let mut call = call(GET);
        call.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let answer = server.clone().oneshot(call).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (code, reason));
    }
}

#[test]
fn timeouts_are_read_as_grpc_writes_them() {
    for (text, expected) in [
        ("5S", Some(Duration::from_secs(5))),
        ("250m", Some(Duration::from_millis(250))),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("100000000n", None),
        ("+5S", None),
        ("5", None),
        ("S", None),
        ("", None),
        ("5ä", None),
    ] {
        assert_eq!(parse_timeout(text), expected, "{text}");
    }
}
