use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, header::CONTENT_TYPE},
    routing::post,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{Guard, MAX_UNDER_WAY, Methods, guard, parse_timeout};

const CHECK: &str = "/grpc.health.v1.Health/Check";

fn call() -> Request<Body> {
    let request = Request::post(CHECK).header(CONTENT_TYPE, "application/grpc");
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_call_over_the_limit_is_told_to_come_again() {
    let state = Arc::new(Guard::new(Methods::read(&[]).unwrap(), CancellationToken::new()));
    let server = Router::new()
        .route(CHECK, post(async || "answered"))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), guard));

    let taken = state.under_way.try_acquire_many(MAX_UNDER_WAY.try_into().unwrap()).unwrap();
    let answer = server.clone().oneshot(call()).await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);

    drop(taken);
    let answer = server.oneshot(call()).await.unwrap();
    assert!(Status::from_header_map(answer.headers()).is_none());
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
