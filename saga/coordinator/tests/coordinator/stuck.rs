//! A person has to look, and does something about it.

use prost::Message;
use proto::{
    payment::PaymentAuthorized,
    saga::{
        CancelSagaRequest, PauseSagaRequest, ResolveSagaRequest, ResumeSagaRequest,
        RetryStepRequest, SagaStatus, SkipStepRequest,
    },
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    brief,
    participants::{Asked, Participants},
    process::{Client, Coordinator, config, once},
};

const STEP: &str = "authorize-payment";

/// A coordinator of brief sagas that never sends again, and one of them that waits for the money.
async fn asked_for_money() -> (Coordinator, Client, Participants, Asked) {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (coordinator, client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    participants.publish_placed(&Uuid::now_v7().to_string()).await;
    let asked = participants.asked(STEP).await;
    (coordinator, client, participants, asked)
}

fn retry(id: &str, request_id: &str) -> RetryStepRequest {
    RetryStepRequest {
        id: id.to_owned(),
        by: "ada".to_owned(),
        reason: "repaired".to_owned(),
        request_id: request_id.to_owned(),
    }
}

fn resolve(id: &str, request_id: &str) -> ResolveSagaRequest {
    let RetryStepRequest { id, by, reason, request_id } = retry(id, request_id);
    ResolveSagaRequest { id, by, reason, request_id }
}

fn skip(id: &str, request_id: &str, reply: &PaymentAuthorized) -> SkipStepRequest {
    let RetryStepRequest { id, by, reason, request_id } = retry(id, request_id);
    let (step, reply) = (STEP.to_owned(), reply.encode_to_vec());
    SkipStepRequest { id, by, reason, request_id, step, reply }
}

#[tokio::test]
async fn an_unreadable_answer_makes_a_saga_stuck_until_a_retry_brings_a_better_one() {
    let (coordinator, mut client, mut participants, asked) = asked_for_money().await;
    let order = &asked.key;

    participants.reply(&asked, vec![0xff; 3]).await;
    let stuck = once(&mut client, order, SagaStatus::Stuck).await;
    assert!(stuck.journal_agrees);
    let saga = stuck.saga.unwrap();
    assert_eq!(saga.stuck_step, STEP);
    let unreadable = "cannot read shop.payment.v1.PaymentAuthorized";
    assert!(saga.stuck_reason.contains(unreadable), "{}", saga.stuck_reason);

    // The same request twice asks once.
    for _ in 0..2 {
        client.retry_step(retry(order, "1")).await.unwrap();
    }
    let again = participants.asked(STEP).await;
    assert_eq!((again.saga.attempt, &again.payload), (2, &asked.payload));

    // More than a saga may remember: the answer becomes a dead letter.
    let long = PaymentAuthorized { authorization: "x".repeat(100_000) };
    participants.reply(&again, long.encode_to_vec()).await;
    let stuck = once(&mut client, order, SagaStatus::Stuck).await.saga.unwrap();
    assert!(stuck.stuck_reason.starts_with("an answer was set aside"), "{}", stuck.stuck_reason);

    participants.agree();
    client.retry_step(retry(order, "2")).await.unwrap();
    let done = once(&mut client, order, SagaStatus::Completed).await;
    assert!(done.journal_agrees);
    let retried: Vec<(&str, &str, &str)> = done
        .journal
        .iter()
        .filter(|entry| entry.verb == "retry")
        .map(|entry| (entry.by.as_str(), entry.reason.as_str(), entry.sent[0].as_str()))
        .collect();
    let sent = |attempt| ("ada", "repaired", attempt);
    let expected = [sent("invoke authorize-payment #2"), sent("invoke authorize-payment #3")];
    assert_eq!(retried, expected);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_parked_command_is_skipped_with_the_answer_that_was_found_elsewhere() {
    let (coordinator, mut client, mut participants, asked) = asked_for_money().await;
    let order = &asked.key;

    participants.park(&asked, "no such method").await;
    let stuck = once(&mut client, order, SagaStatus::Stuck).await.saga.unwrap();
    assert_eq!((stuck.stuck_step.as_str(), stuck.stuck_reason.as_str()), (STEP, "no such method"));

    let elsewhere = PaymentAuthorized { authorization: "A-7".to_owned() };
    let other_step =
        SkipStepRequest { step: "approve-order".to_owned(), ..skip(order, "0", &elsewhere) };
    let refused = client.skip_step(other_step).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let no_step = SkipStepRequest { step: String::new(), ..skip(order, "0", &elsewhere) };
    let refused = client.skip_step(no_step).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let skipped = client.skip_step(skip(order, "1", &elsewhere)).await.unwrap().into_inner();
    assert_eq!(skipped.saga.unwrap().waits_for, ["approve-order"]);
    let approve = participants.asked("approve-order").await;
    participants.succeed(&approve).await;
    let done = once(&mut client, order, SagaStatus::Completed).await;
    assert!(done.journal_agrees);
    assert!(done.data_json.contains("A-7"), "{}", done.data_json);
    assert_eq!(participants.take_heard(), []);
    coordinator.stop().await;
}

#[tokio::test]
async fn what_was_settled_outside_is_resolved_and_nothing_else_is() {
    let (coordinator, mut client, mut participants, asked) = asked_for_money().await;
    let order = &asked.key;

    let refused = client.resolve_saga(resolve(order, "1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    participants.park(&asked, "no such method").await;
    once(&mut client, order, SagaStatus::Stuck).await;
    let resolved = client.resolve_saga(resolve(order, "1")).await.unwrap().into_inner();
    let saga = resolved.saga.unwrap();
    assert_eq!(saga.status(), SagaStatus::Resolved);
    assert!(saga.ended_at.is_some());
    // Whoever began it would wait for ever.
    let off = participants.asked("create-order").await;
    assert_eq!(off.kind, "shop.order.v1.RejectOrder");
    assert_eq!(off.saga.saga_id.to_string(), saga.saga_id);

    // Asked too late, by the participant and by an operator.
    participants.succeed(&asked).await;
    let refused = client.retry_step(retry(order, "2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let next = Uuid::now_v7().to_string();
    participants.agree();
    participants.publish_placed(&next).await;
    once(&mut client, &next, SagaStatus::Completed).await;
    let found = once(&mut client, order, SagaStatus::Resolved).await;
    assert!(found.journal_agrees);
    let last = found.journal.last().unwrap();
    assert_eq!(
        (last.verb.as_str(), last.by.as_str(), last.reason.as_str()),
        ("resolve", "ada", "repaired")
    );
    assert!(participants.take_heard().iter().all(|asked| asked.key == next));
    coordinator.stop().await;
}

#[tokio::test]
async fn who_begins_again_what_has_ended_otherwise_is_told_that_it_is_off() {
    let (coordinator, mut client, mut participants, asked) = asked_for_money().await;
    let order = &asked.key;

    // While it goes on, nothing is said twice.
    participants.publish_placed(order).await;
    let after = Uuid::now_v7().to_string();
    participants.publish_placed(&after).await;
    participants.next(|asked| asked.key == after).await;
    assert_eq!(participants.take_heard(), []);

    // It goes back, and what is to be undone is taken as undone although it is not.
    let RetryStepRequest { id, by, reason, request_id } = retry(order, "1");
    client.cancel_saga(CancelSagaRequest { id, by, reason, request_id }).await.unwrap();
    participants.succeed(&asked).await;
    let void = participants.asked(STEP).await;
    participants.succeed(&void).await;
    let undo = participants.asked("create-order").await;
    let nothing = PaymentAuthorized::default();
    let skip = SkipStepRequest { step: undo.saga.step, ..skip(order, "2", &nothing) };
    client.skip_step(skip).await.unwrap();
    once(&mut client, order, SagaStatus::Compensated).await;

    // Whoever began it has not heard of that, and begins it again.
    participants.publish_placed(order).await;
    let again = participants.asked("create-order").await;
    assert_eq!((&again.kind, &again.payload), (&undo.kind, &undo.payload));
    assert!(again.saga.attempt > undo.saga.attempt, "{again:?}");
    coordinator.stop().await;
}

#[tokio::test]
async fn every_verb_says_who_why_and_which_request_it_is() {
    let (coordinator, mut client, participants, asked) = asked_for_money().await;
    let order = &asked.key;
    let reply = PaymentAuthorized::default();

    let without = [
        RetryStepRequest { id: String::new(), ..retry(order, "1") },
        RetryStepRequest { by: " ".to_owned(), ..retry(order, "1") },
        RetryStepRequest { reason: String::new(), ..retry(order, "1") },
        retry(order, ""),
        retry(order, "\0"),
        RetryStepRequest { reason: "x".repeat(1_001), ..retry(order, "1") },
        // It would forge lines of somebody's terminal.
        RetryStepRequest { reason: "ok\u{1b}[2J\n03:00 done".to_owned(), ..retry(order, "1") },
    ];
    for request in without {
        let refused = client.retry_step(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    let refused = [
        client.cancel_saga(CancelSagaRequest::default()).await.unwrap_err(),
        client.pause_saga(PauseSagaRequest::default()).await.unwrap_err(),
        client.resume_saga(ResumeSagaRequest::default()).await.unwrap_err(),
        client.skip_step(skip(order, "", &reply)).await.unwrap_err(),
        client.resolve_saga(resolve(order, " ")).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|refused| refused.code() == Code::InvalidArgument), "{refused:?}");
    let unknown = client.retry_step(retry("nobody", "1")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let pause = |request_id| {
        let RetryStepRequest { id, by, reason, request_id } = retry(order, request_id);
        PauseSagaRequest { id, by, reason, request_id }
    };
    let paused = client.pause_saga(pause("1")).await.unwrap().into_inner();
    assert_eq!(paused.saga.unwrap().status(), SagaStatus::Paused);
    let reused = client.retry_step(retry(order, "1")).await.unwrap_err();
    assert_eq!(reused.code(), Code::AlreadyExists);
    let again = client.pause_saga(pause("1")).await.unwrap().into_inner().saga.unwrap();
    assert_eq!((again.status(), again.revision), (SagaStatus::Paused, 2));
    let refused = client.pause_saga(pause("2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let RetryStepRequest { id, by, reason, request_id } = retry(order, "3");
    client.resume_saga(ResumeSagaRequest { id, by, reason, request_id }).await.unwrap();
    participants.agree();
    let RetryStepRequest { id, by, reason, request_id } = retry(order, "4");
    client.cancel_saga(CancelSagaRequest { id, by, reason, request_id }).await.unwrap();
    participants.succeed(&asked).await;
    let found = once(&mut client, order, SagaStatus::Compensated).await;
    assert_eq!(found.saga.unwrap().cause, "cancelled by ada: repaired");
    assert!(found.journal_agrees);
    coordinator.stop().await;
}
