//! Nobody answers: commands are sent again, and deadlines pass.

use std::time::Duration;

use messaging::message;
use proto::saga::{GetSagaResponse, RetryStepRequest, SagaStatus, StepStatus};
use saga_coordinator::sagas;
use saga_core::Registry;
use sqlx::{PgPool, query, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    brief,
    participants::{Asked, Participants},
    process::{Coordinator, config, once, until, until_number},
};

#[tokio::test]
async fn a_lost_command_is_sent_again_unchanged_and_a_late_answer_counts() {
    let config = config(&["--resend-after-ms", "300"]).await;
    let (coordinator, mut client) = Coordinator::start(sagas::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let order = Uuid::now_v7().to_string();
    participants.publish_placed(&order).await;

    for step in ["reserve-stock", "authorize-payment"] {
        let first = participants.asked(step).await;
        let again = participants.asked(step).await;
        assert_ne!(first.id, again.id);
        assert_eq!(first.saga.attempt, 1);
        assert_eq!(Asked { id: first.id, ..again }, first);
        // Within 15 s or 30 s, give or take a tenth.
        let patience = first.deadline.unwrap() - message::time_in(first.id).unwrap();
        assert!((13.4..=33.1).contains(&patience.as_seconds_f64()), "{step}: {patience}");
    }
    let first = participants.asked("reserve-stock").await;

    let retry = RetryStepRequest {
        id: order.clone(),
        by: "ada".to_owned(),
        reason: "the customer calls".to_owned(),
        request_id: "1".to_owned(),
    };
    client.retry_step(retry).await.unwrap();
    let is_second = |asked: &Asked| asked.saga.step == "reserve-stock" && asked.saga.attempt == 2;
    participants.next(is_second).await;
    participants.succeed(&first).await;
    let found = until(&mut client, &order, |found| {
        found.saga.as_ref().unwrap().waits_for == ["authorize-payment"]
    })
    .await;
    let answered = found.journal.last().unwrap();
    assert_eq!((answered.happened.as_str(), answered.attempt), ("answered", 1));

    // Nothing is asked for any more, only sent again.
    participants.agree();
    assert!(once(&mut client, &order, SagaStatus::Completed).await.journal_agrees);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_deadline_passes_when_it_is_due() {
    const PATIENCE: Duration = Duration::from_secs(2);
    const LATE_MAX: Duration = Duration::from_millis(250);
    let config = config(&["--resend-after-ms", "600000"]).await;
    let registry = Registry::default().current(brief::impatient(PATIENCE));
    let (coordinator, mut client) = Coordinator::start(registry, &config).await;
    let mut participants = Participants::start(&config.common).await;
    let db = PgPool::connect(&config.database_url).await.unwrap();

    let mut late = Vec::new();
    for _ in 0..3 {
        let order = Uuid::now_v7().to_string();
        participants.publish_placed(&order).await;
        let asked = participants.asked("authorize-payment").await;
        let due_at = asked.deadline.unwrap();
        // Spread by ten per cent, so that not all come at once.
        let due_in = due_at - started_at(&db, &asked).await;
        assert!(due_in >= PATIENCE.mul_f64(0.89) && due_in <= PATIENCE.mul_f64(1.11), "{due_in}");

        let undo = participants.next(|asked| asked.key == order).await;
        assert_eq!(undo.kind, "shop.payment.v1.VoidPayment");
        let found = once(&mut client, &order, SagaStatus::Compensating).await;
        let at = timed_out_at(&found);
        assert_eq!(found.saga.unwrap().cause, "authorize-payment was not answered in time");
        assert_eq!(found.steps[1].status(), StepStatus::Compensating);
        assert!(at >= due_at, "{at} is before {due_at}");
        late.push(at - due_at);
    }
    // The machine may have been busy with something else, but not every time.
    assert!(late.iter().min().unwrap() <= &LATE_MAX, "{late:?}");
    coordinator.stop().await;
}

#[tokio::test]
async fn a_deadline_outlives_the_coordinator() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let registry = || Registry::default().current(brief::impatient(Duration::from_secs(3)));
    let (former, _) = Coordinator::start(registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let order = Uuid::now_v7().to_string();
    participants.publish_placed(&order).await;
    let due_at = participants.asked("authorize-payment").await.deadline.unwrap();
    former.stop().await;

    let (coordinator, mut client) = Coordinator::start(registry(), &config).await;
    let undo = participants.next(|asked| asked.key == order).await;
    assert_eq!(undo.kind, "shop.payment.v1.VoidPayment");
    let found = once(&mut client, &order, SagaStatus::Compensating).await;
    let at = timed_out_at(&found);
    assert!(at >= due_at, "{at} is before {due_at}");
    assert!(found.journal_agrees);
    coordinator.stop().await;
}

#[tokio::test]
async fn what_undoes_the_start_says_so() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let registry = Registry::default().current(brief::impatient(Duration::from_millis(100)));
    let (coordinator, _) = Coordinator::start(registry, &config).await;
    let mut participants = Participants::start(&config.common).await;
    participants.publish_placed(&Uuid::now_v7().to_string()).await;
    assert!(!participants.asked("authorize-payment").await.saga.is_start);

    // Nobody has answered in time: all is undone, the start last.
    let undo = participants.asked("authorize-payment").await;
    participants.succeed(&undo).await;
    let last = participants.asked("create-order").await;
    assert_eq!(last.kind, "shop.order.v1.RejectOrder");
    assert!(last.saga.is_start && !undo.saga.is_start);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_saga_that_cannot_be_read_does_not_keep_the_others_from_their_deadlines() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let registry = Registry::default().current(brief::impatient(Duration::from_secs(2)));
    let (coordinator, mut client) = Coordinator::start(registry, &config).await;
    let mut participants = Participants::start(&config.common).await;
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let [unreadable, order] = [(); 2].map(|()| Uuid::now_v7().to_string());
    participants.publish_placed(&unreadable).await;
    participants.asked("authorize-payment").await;

    // From now on it is the first that is due.
    query("UPDATE saga SET instance = 'no saga', wake_at = 'epoch'").execute(&db).await.unwrap();
    participants.publish_placed(&order).await;
    participants.next(|asked| asked.key == order).await;

    let undo = participants.next(|asked| asked.key == order).await;
    assert_eq!(undo.kind, "shop.payment.v1.VoidPayment");
    once(&mut client, &order, SagaStatus::Compensating).await;
    let waits = format!("SELECT count(*) FROM saga WHERE key = '{unreadable}' AND wake_at > now()");
    until_number(&db, &waits, 1).await;
    coordinator.stop().await;
}

async fn started_at(db: &PgPool, asked: &Asked) -> OffsetDateTime {
    query_scalar("SELECT started_at FROM saga WHERE id = $1")
        .bind(asked.saga.saga_id)
        .fetch_one(db)
        .await
        .unwrap()
}

fn timed_out_at(found: &GetSagaResponse) -> OffsetDateTime {
    let timed_out = found.journal.iter().find(|entry| entry.happened == "timed-out").unwrap();
    let at = timed_out.happened_at.unwrap();
    OffsetDateTime::from_unix_timestamp(at.seconds).unwrap()
        + Duration::from_nanos(at.nanos.unsigned_abs().into())
}
