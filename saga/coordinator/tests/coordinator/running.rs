//! Sagas that run to their end, once each, whoever runs them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Instant,
};

use prost::Message;
use proto::{
    inventory::{ReserveStock, StockLine},
    saga::{ListSagasRequest, RetryStepRequest, SagaStatus, WatchSagasRequest},
};
use saga_coordinator::sagas;
use sqlx::{PgPool, query, query_scalar};
use tokio::time::sleep;
use tonic::Code;
use uuid::Uuid;

use crate::{
    brief,
    participants::Participants,
    process::{Client, Coordinator, PATIENCE, config, once, until, until_held_up},
};

#[tokio::test]
async fn a_saga_runs_to_its_end_once_however_often_its_event_comes() {
    // With one partition, what is published later is heard later.
    let config = config(&["--partitions", "1", "--resend-after-ms", "600000"]).await;
    let (coordinator, mut client) = Coordinator::start(sagas::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    participants.agree();
    let [order, next] = [(); 2].map(|()| Uuid::now_v7().to_string());

    participants.publish_placed(&order).await;
    participants.publish_placed(&order).await;
    let found = once(&mut client, &order, SagaStatus::Completed).await;
    assert!(found.journal_agrees);
    let saga = found.saga.unwrap();
    assert_eq!((saga.definition.as_str(), saga.key.as_str()), ("place-order", order.as_str()));
    assert!(saga.waits_for.is_empty() && saga.ended_at.is_some());
    let happened: Vec<&str> = found.journal.iter().map(|entry| entry.happened.as_str()).collect();
    assert_eq!(happened, ["started", "answered", "answered", "answered", "answered", "answered"]);

    participants.publish_placed(&order).await;
    participants.publish_placed(&next).await;
    once(&mut client, &next, SagaStatus::Completed).await;
    let sagas = client.list_sagas(ListSagasRequest::default()).await.unwrap().into_inner().sagas;
    let keys: Vec<&str> = sagas.iter().map(|saga| saga.key.as_str()).collect();
    assert_eq!(keys, [next.as_str(), order.as_str()]);
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let noted = query_scalar("SELECT DISTINCT saga_id FROM saga_journal ORDER BY saga_id");
    let noted: Vec<Uuid> = noted.fetch_all(&db).await.unwrap();
    let ids: Vec<String> = sagas.iter().rev().map(|saga| saga.saga_id.clone()).collect();
    assert_eq!(noted.iter().map(Uuid::to_string).collect::<Vec<_>>(), ids);

    let heard = participants.take_heard();
    for key in [&order, &next] {
        let steps: Vec<&str> = heard
            .iter()
            .filter(|asked| asked.key == *key)
            .map(|asked| asked.saga.step.as_str())
            .collect();
        assert_eq!(steps.len(), 5, "{steps:?}");
        assert_eq!(steps[2], "approve-order");
    }
    let reserve = heard.iter().find(|asked| asked.saga.step == "reserve-stock").unwrap();
    let line = StockLine { sku: "SKU-1".to_owned(), quantity: 2 };
    let command = ReserveStock { order_id: order, lines: vec![line] };
    assert_eq!(ReserveStock::decode(reserve.payload.as_slice()).unwrap(), command);
    assert_eq!(reserve.kind, "shop.inventory.v1.ReserveStock");
    coordinator.stop().await;
}

#[tokio::test]
async fn two_coordinators_share_the_sagas_and_each_is_ended_once() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let mut other = config.clone();
    other.common.instance = "1".to_owned();
    let (one, mut client) = Coordinator::start(brief::registry(), &config).await;
    let (two, mut other_client) = Coordinator::start(brief::registry(), &other).await;
    let ended = [watch_ended(&mut client).await, watch_ended(&mut other_client).await];
    let ended_by = |index: usize| -> BTreeSet<String> { ended[index].lock().unwrap().clone() };
    let mut participants = Participants::start(&config.common).await;
    participants.agree();

    let started = Instant::now();
    let mut keys = Vec::new();
    let mut retried = false;
    // Until both have their share of the partitions, and of the retries.
    while ended_by(0).is_empty() || ended_by(1).is_empty() || !retried {
        assert!(started.elapsed() < PATIENCE, "one of them gets nothing to do");
        let round: Vec<String> = (0..20).map(|_| Uuid::now_v7().to_string()).collect();
        // Operators of both get in the way of the answers.
        for key in &round {
            participants.publish_placed(key).await;
            until(&mut client, key, |_| true).await;
            retried |= retry_if_it_runs(&mut client, key, "a").await;
            retried |= retry_if_it_runs(&mut other_client, key, "b").await;
        }
        for key in &round {
            assert!(once(&mut client, key, SagaStatus::Completed).await.journal_agrees);
        }
        keys.extend(round);
    }
    while ended_by(0).len() + ended_by(1).len() < keys.len() {
        assert!(started.elapsed() < 2 * PATIENCE, "not all ends were told of");
        sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(ended_by(0).is_disjoint(&ended_by(1)));
    let all: BTreeSet<String> = ended_by(0).union(&ended_by(1)).cloned().collect();
    assert_eq!(all, keys.into_iter().collect());

    let mut sent = BTreeMap::new();
    for asked in participants.take_heard() {
        let saga = asked.saga;
        let attempt = (saga.saga_id, saga.step, saga.direction.as_str(), saga.attempt);
        let first = *sent.entry(attempt.clone()).or_insert(asked.id);
        assert_eq!(first, asked.id, "{attempt:?} was sent twice");
    }
    assert!(sent.keys().any(|(.., attempt)| *attempt > 1), "no retry was in time");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn an_answer_that_meets_another_move_follows_from_what_that_one_left() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (coordinator, mut client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let order = Uuid::now_v7().to_string();
    participants.publish_placed(&order).await;
    let asked = participants.asked("authorize-payment").await;

    // Of this move the journal knows nothing: only the saga's row stands in the way of the answer.
    let mut other = db.begin().await.unwrap();
    query(
        "UPDATE saga
         SET revision = 7, instance = jsonb_set(instance::jsonb, '{revision}', '7')::text",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    participants.succeed(&asked).await;
    until_held_up(&db).await;
    other.commit().await.unwrap();

    participants.asked("approve-order").await;
    let found = once(&mut client, &order, SagaStatus::Running).await;
    assert_eq!(found.saga.unwrap().revision, 8);
    assert_eq!(participants.take_heard(), []);
    coordinator.stop().await;
}

/// Keys of the sagas that this coordinator ends from now on.
async fn watch_ended(client: &mut Client) -> Arc<Mutex<BTreeSet<String>>> {
    let wanted = WatchSagasRequest { ended_only: true, ..WatchSagasRequest::default() };
    let mut stream = client.watch_sagas(wanted).await.unwrap().into_inner();
    let ended = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&ended);
    tokio::spawn(async move {
        while let Ok(Some(response)) = stream.message().await {
            assert!(!response.moves_missed);
            seen.lock().unwrap().extend(response.sagas.into_iter().map(|saga| saga.key));
        }
    });
    ended
}

async fn retry_if_it_runs(client: &mut Client, key: &str, operator: &str) -> bool {
    let request = RetryStepRequest {
        id: key.to_owned(),
        by: operator.to_owned(),
        reason: "it takes long".to_owned(),
        request_id: format!("{operator}-{key}"),
    };
    let refused = client.retry_step(request).await.err();
    if let Some(status) = &refused {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    }
    refused.is_none()
}
