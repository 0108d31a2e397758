//! What the coordinator cannot read or write down: it becomes a dead letter as it came, whoever waits
//! for it gets stuck, and the others go on.

use messaging::{Message, SagaContext, message::Outcome};
use proto::saga::SagaStatus;
use sqlx::{PgPool, query, query_scalar};
use uuid::Uuid;

use crate::{
    brief,
    participants::{Asked, Participants, placed},
    process::{Client, Coordinator, config, once, until_held_up, until_number},
};

const STEP: &str = "authorize-payment";

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_and_moves_nothing() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (coordinator, mut client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let order = Uuid::now_v7().to_string();
    participants.publish_placed(&order).await;
    let asked = participants.asked(STEP).await;

    let about =
        |saga: SagaContext| Asked { saga, ..asked.clone() }.answer(Outcome::Succeeded, Vec::new());
    let stranger = Uuid::now_v7();
    let mut mute = about(asked.saga.clone());
    mute.envelope.outcome = None;
    let garbage = Message { payload: vec![0xff; 3], ..placed(&Uuid::now_v7().to_string()) };
    let poison = [
        (
            "`saga` cannot have the attempt 0",
            about(SagaContext { attempt: 0, ..asked.saga.clone() }),
        ),
        ("does not say which command it answers", mute),
        ("there is no saga", about(SagaContext { saga_id: stranger, ..asked.saga.clone() })),
        ("it should begin brief", garbage),
        ("0x00", placed("a\0b")),
    ];
    for (_, message) in &poison {
        participants.send(message.clone()).await;
    }

    for (reason, Message { topic, payload, .. }) in &poison {
        let dead = format!("{} AND payload = '\\x{}'", dead_letters(topic, reason), hex(payload));
        until_number(&db, &dead, 1).await;
    }
    until_number(&db, "SELECT count(*) FROM saga_journal", 1).await;
    participants.succeed(&asked).await;
    let approve = participants.asked("approve-order").await;
    participants.succeed(&approve).await;
    assert!(once(&mut client, &order, SagaStatus::Completed).await.journal_agrees);
    next_order_completes(&participants, &mut client).await;
    coordinator.stop().await;
}

#[tokio::test]
async fn an_answer_that_postgres_refuses_makes_its_saga_stuck_and_no_other() {
    const ORDERS: usize = 12;
    // With one lane and one partition, what waits is one batch.
    let args = ["--resend-after-ms", "600000", "--partitions", "1", "--lanes", "1"];
    let config = config(&args).await;
    let (coordinator, mut client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let mut asked = Vec::new();
    for _ in 0..ORDERS {
        participants.publish_placed(&Uuid::now_v7().to_string()).await;
        asked.push(participants.asked(STEP).await);
    }

    let mut other = db.begin().await.unwrap();
    query("SELECT FROM saga WHERE id = $1 FOR UPDATE")
        .bind(asked[0].saga.saga_id)
        .execute(&mut *other)
        .await
        .unwrap();
    participants.succeed(&asked[0]).await;
    until_held_up(&db).await;
    let (refused, parked) = (&asked[4], &asked[9]);
    let answers = asked[1..].iter().map(|asked| {
        let outcome = match asked {
            asked if asked == refused => Outcome::Refused("no\0thing".to_owned()),
            asked if asked == parked => Outcome::Parked("no\0where".to_owned()),
            _ => Outcome::Succeeded,
        };
        asked.answer(outcome, Vec::new())
    });
    participants.send_all(answers.collect()).await;
    other.rollback().await.unwrap();

    for culprit in [refused, parked] {
        let stuck = once(&mut client, &culprit.key, SagaStatus::Stuck).await;
        assert!(stuck.journal_agrees);
        let reason = stuck.saga.unwrap().stuck_reason;
        assert!(reason.starts_with("an answer was set aside"), "{reason}");
    }
    until_number(&db, &dead_letters("saga.replies.v1", "0x00"), 2).await;
    for good in asked.iter().filter(|asked| ![refused, parked].contains(asked)) {
        let approve = participants.next(|asked| asked.key == good.key).await;
        assert_eq!(approve.saga.step, "approve-order");
    }
    assert_eq!(participants.take_heard(), []);
    // Some shared a batch, or there was nothing to split.
    let commits = "SELECT count(DISTINCT xmin::text) FROM saga_journal WHERE happened = 'answered'";
    let commit_count: i64 = query_scalar(commits).fetch_one(&db).await.unwrap();
    assert!(commit_count < ORDERS as i64 - 2, "{commit_count} commits");
    next_order_completes(&participants, &mut client).await;
    coordinator.stop().await;
}

async fn next_order_completes(participants: &Participants, client: &mut Client) {
    let next = Uuid::now_v7().to_string();
    participants.agree();
    participants.publish_placed(&next).await;
    once(client, &next, SagaStatus::Completed).await;
}

/// Of a topic, set aside for this reason.
fn dead_letters(topic: &str, reason: &str) -> String {
    format!(
        "SELECT count(*) FROM outbox
         WHERE topic = '{topic}.dead' AND envelope LIKE '%dead_letter%{reason}%'"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
