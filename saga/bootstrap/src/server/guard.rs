//! What stands before every gRPC call: the limit on calls under way, the deadline, the panic trap
//! and the metrics.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, header::CONTENT_TYPE},
    middleware::Next,
    response::Response,
};
use futures::FutureExt;
use messaging::panic_text;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    methods::{Method, Methods},
    stream_end::StreamEnd,
};
use crate::Problem;

#[derive(Debug)]
pub(super) struct Guard {
    methods: Methods,
    under_way: Semaphore,
    end_streams: CancellationToken,
}

impl Guard {
    pub(super) fn new(methods: Methods, end_streams: CancellationToken) -> Self {
        Self { methods, under_way: Semaphore::new(MAX_UNDER_WAY), end_streams }
    }
}

/// Calls that wait for their answer, over all connections; a stream counts until it begins.
const MAX_UNDER_WAY: usize = 2048;

pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    if !is_grpc(request.headers()) {
        return next.run(request).await;
    }
    let Some(method) = guard.methods.get(request.uri().path()) else {
        return next.run(request).await;
    };
    let started = Instant::now();
    let response = answer(&guard, method, request, next).await;
    measure(method, &response, started.elapsed());
    response
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

async fn answer(guard: &Guard, method: &Method, request: Request, next: Next) -> Response {
    let permit = method.is_counted.then(|| guard.under_way.try_acquire());
    let Ok(_permit) = permit.transpose() else {
        return Status::from(Problem::Busy { retry_after: RETRY_AFTER_BUSY }).into_http();
    };
    let given = match given_deadline(request.headers()) {
        Ok(given) => given,
        Err(problem) => return Status::from(problem).into_http(),
    };
    let until_answer = match given {
        None if method.is_client_streaming => None,
        None => Some(DEFAULT_DEADLINE),
        Some(given) => Some(given.saturating_sub(AHEAD_OF_TONIC)),
    };

    let started = Instant::now();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = async {
        match until_answer {
            Some(deadline) => tokio::time::timeout(deadline, answer).await,
            None => Ok(answer.await),
        }
    };
    let answered = tokio::select! {
        answered = answer => answered,
        // Its caller may go on sending for as long as it likes.
        () = guard.end_streams.cancelled(), if method.is_client_streaming => {
            return stopping().into_http();
        }
    };
    match answered {
        Ok(Ok(response)) if method.is_server_streaming => {
            let deadline = given.and_then(|given| started.checked_add(given));
            let stops = guard.end_streams.clone().cancelled_owned();
            response.map(|body| Body::new(StreamEnd::new(body, stops, deadline)))
        }
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let error = format!("{}: panicked: {}", method.path, panic_text(&*panic));
            Status::from(Problem::internal(error)).into_http()
        }
        Err(_) => deadline_passed().into_http(),
    }
}

/// tonic watches the caller's deadline too, around this, and would answer `CANCELLED`.
const AHEAD_OF_TONIC: Duration = Duration::from_millis(5);
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_AFTER_BUSY: Duration = Duration::from_millis(200);
const RETRY_AFTER_STOP: Duration = Duration::from_secs(1);

pub(super) fn deadline_passed() -> Status {
    let description = "no answer in time; what was asked for may still be done".to_owned();
    Problem::DeadlineExceeded { description }.into()
}

pub(super) fn stopping() -> Status {
    let description = "this process is stopping; send it again elsewhere".to_owned();
    Problem::Unavailable { description, retry_after: RETRY_AFTER_STOP }.into()
}

/// The caller's `grpc-timeout`: up to eight digits and a unit.
fn given_deadline(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(header) = headers.get("grpc-timeout") else { return Ok(None) };
    header
        .to_str()
        .ok()
        .and_then(parse_timeout)
        .map(Some)
        .ok_or_else(|| Problem::invalid("grpc-timeout", "must be like '250m' or '5S'"))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// A stream is counted when it begins, by the code it begins with.
fn measure(method: &Method, response: &Response, duration: Duration) {
    let code = response
        .headers()
        .get("grpc-status")
        .map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    let path = || Arc::clone(&method.path);
    metrics::counter!("grpc_requests_total", "method" => path(), "code" => format!("{code:?}"))
        .increment(1);
    metrics::histogram!("grpc_request_duration_seconds", "method" => path())
        .record(duration.as_secs_f64());
}

#[cfg(test)]
mod tests;
