use proto::order::{Refusal, SubmitOrdersResponse};
use time::OffsetDateTime;
use tonic::Code;

use super::*;
use crate::changes::Changes;

#[tokio::test(start_paused = true)]
async fn a_caller_who_sends_nothing_for_long_is_not_waited_for() {
    let requests = stream::iter([Ok(1), Ok(2)]).chain(stream::pending());
    let read: Vec<_> = without_long_pauses(requests).collect().await;
    let codes: Vec<_> =
        read.into_iter().map(|request| request.map_err(|status| status.code())).collect();
    assert_eq!(codes, [Ok(1), Ok(2), Err(Code::DeadlineExceeded)]);
}

#[test]
fn an_id_that_is_too_long_is_repeated_in_part() {
    let request =
        PlaceOrderRequest { request_id: "ü".repeat(1_000_000), ..PlaceOrderRequest::default() };
    assert_eq!(echoed(&request), "ü".repeat(128));
}

#[test]
fn an_answer_fits_into_a_message() {
    let message = "is wrong; ".repeat(100);
    let refusal = Refusal { code: 3, reason: "INVALID_ARGUMENT".to_owned(), message };
    let outcome = Some(submission::Outcome::Refusal(refusal));
    let submission = Submission { request_id: "x".repeat(128), outcome };
    let mut answer = Answer::default();
    while answer.push(submission.clone()).is_ok() {}
    assert!(answer.submissions.len() > 1_000);
    let answer = SubmitOrdersResponse { submissions: answer.submissions };
    assert!((3_900_000..4 << 20).contains(&answer.encoded_len()), "{}", answer.encoded_len());
}

#[tokio::test]
async fn who_does_not_read_on_after_the_end_follows_nothing_any_more() {
    let changes = Changes::default();
    let id = Uuid::now_v7();
    let order = Order {
        id,
        status: domain::Status::Pending,
        customer_id: String::new(),
        payment_method: "tok_ok".to_owned(),
        currency: "EUR".to_owned(),
        total_minor: 1,
        lines: Vec::new(),
        reason: String::new(),
        placed_at: OffsetDateTime::UNIX_EPOCH,
        decided_at: None,
    };
    let confirmed = Order { status: domain::Status::Confirmed, ..order.clone() };
    let mut states = Box::pin(states(order.clone(), changes.follow(id).unwrap()));
    assert_eq!(states.next().await, Some(order));
    changes.tell(vec![confirmed.as_change()]);
    assert_eq!(states.next().await, Some(confirmed));
    assert!(changes.followed().is_empty());
    assert_eq!(states.next().await, None);
}
