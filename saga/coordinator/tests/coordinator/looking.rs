//! Lists of sagas, and sagas as they move.

use std::collections::BTreeSet;

use proto::saga::{
    ListSagasRequest, ListSagasResponse, Saga, SagaStatus, WatchSagasRequest, WatchSagasResponse,
};
use sqlx::{PgPool, query};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::{
    brief,
    participants::Participants,
    process::{Client, Coordinator, PATIENCE, config, once},
};

#[tokio::test]
async fn sagas_are_listed_page_by_page_and_narrowed_down() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (coordinator, mut client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let orders: Vec<String> = (0..7).map(|_| Uuid::now_v7().to_string()).collect();
    for order in &orders {
        participants.publish_placed(order).await;
    }
    let mut asked = Vec::new();
    for order in &orders {
        asked.push(participants.next(|asked| asked.key == *order).await);
    }
    participants.park(&asked[0], "Unknown Card").await;
    once(&mut client, &orders[0], SagaStatus::Stuck).await;
    participants.succeed(&asked[1]).await;
    participants.asked("approve-order").await;

    let mut seen = Vec::new();
    let mut page_token = String::new();
    for expected in [3, 3, 1] {
        let request = ListSagasRequest { page_size: 3, page_token, ..everything() };
        let ListSagasResponse { sagas, next_page_token } =
            list(&mut client, request).await.unwrap();
        assert_eq!(sagas.len(), expected);
        seen.extend(sagas);
        page_token = next_page_token;
    }
    assert_eq!(page_token, "");
    assert!(seen.is_sorted_by(|newer, older| newer.saga_id > older.saga_id));
    assert_eq!(keys(&seen), orders.iter().map(String::as_str).collect());

    let step = |name: &str| ListSagasRequest { step: name.to_owned(), ..everything() };
    let status =
        |status: SagaStatus| ListSagasRequest { statuses: vec![status.into()], ..everything() };
    let open = ListSagasRequest {
        statuses: vec![SagaStatus::Running.into(), SagaStatus::Stuck.into()],
        ..everything()
    };
    let error = ListSagasRequest { error: "unknown card".to_owned(), ..everything() };
    let one = ListSagasRequest { key: orders[4].clone(), ..everything() };
    let definition = |name: &str| ListSagasRequest { definition: name.to_owned(), ..everything() };
    let hour = |ahead: i64| {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        Some(at(now + ahead * 3_600))
    };
    let after = |hours| ListSagasRequest { started_after: hour(hours), ..everything() };
    let before = |hours| ListSagasRequest { started_before: hour(hours), ..everything() };
    let combined = ListSagasRequest { key: orders[4].clone(), ..status(SagaStatus::Stuck) };
    for (request, expected) in [
        (status(SagaStatus::Running), &orders[1..]),
        (status(SagaStatus::Stuck), &orders[..1]),
        (status(SagaStatus::Completed), &[]),
        (open, &orders),
        (step("approve-order"), &orders[1..2]),
        (step("capture-payment"), &[]),
        (error, &orders[..1]),
        (one, &orders[4..5]),
        (definition("brief"), &orders),
        (definition("place-order"), &[]),
        (combined, &[]),
        (after(-1), &orders),
        (after(1), &[]),
        (before(-1), &[]),
        (before(1), &orders),
    ] {
        let found = list(&mut client, request.clone()).await.unwrap().sagas;
        assert_eq!(keys(&found), expected.iter().map(String::as_str).collect(), "{request:?}");
    }
    let waiting = list(&mut client, step("authorize-payment")).await.unwrap().sagas;
    assert_eq!((waiting.len(), keys(&waiting).contains(orders[1].as_str())), (6, false));

    let first = ListSagasRequest { page_size: 3, ..everything() };
    let token = list(&mut client, first).await.unwrap().next_page_token;
    for refused in [
        ListSagasRequest { page_token: "seven".to_owned(), ..everything() },
        ListSagasRequest { page_token: token[2..].to_owned(), ..everything() },
        ListSagasRequest { page_token: token, ..status(SagaStatus::Running) },
        ListSagasRequest { page_size: -1, ..everything() },
        ListSagasRequest { statuses: vec![99], ..everything() },
        ListSagasRequest { key: "a\0b".to_owned(), ..everything() },
        ListSagasRequest { started_after: Some(at(i64::MAX)), ..everything() },
        ListSagasRequest { started_before: Some(at(-62_135_596_801)), ..everything() },
        ListSagasRequest {
            quiet_for: Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 }),
            ..everything()
        },
    ] {
        let status = list(&mut client, refused.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{refused:?}");
    }
    coordinator.stop().await;
}

fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

fn everything() -> ListSagasRequest {
    ListSagasRequest::default()
}

async fn list(client: &mut Client, request: ListSagasRequest) -> Result<ListSagasResponse, Status> {
    Ok(client.list_sagas(request).await?.into_inner())
}

fn keys(sagas: &[Saga]) -> BTreeSet<&str> {
    sagas.iter().map(|saga| saga.key.as_str()).collect()
}

#[tokio::test]
async fn who_watches_sees_a_saga_move_and_end() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (coordinator, mut client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let [order, unwatched] = [(); 2].map(|()| Uuid::now_v7().to_string());
    participants.publish_placed(&order).await;
    let asked = participants.asked("authorize-payment").await;

    let ended_only = WatchSagasRequest { ended_only: true, ..WatchSagasRequest::default() };
    let mut ended = watch(&mut client, ended_only).await;
    let others = WatchSagasRequest { definition: "other".to_owned(), ..Default::default() };
    let mut others = watch(&mut client, others).await;
    let by_id =
        WatchSagasRequest { id: asked.saga.saga_id.to_string(), ..WatchSagasRequest::default() };
    let mut one = watch(&mut client, by_id.clone()).await;
    let mut its_end =
        watch(&mut client, WatchSagasRequest { ended_only: true, ..by_id.clone() }).await;
    let moved = next(&mut one).await.unwrap();
    let (status, key) = (moved[0].status(), moved[0].key.as_str());
    assert_eq!((status, key, moved[0].revision), (SagaStatus::Running, order.as_str(), 1));

    // Another saga moves: this watch does not tell.
    participants.publish_placed(&unwatched).await;
    participants.asked("authorize-payment").await;
    participants.succeed(&asked).await;
    let moved = next(&mut one).await.unwrap();
    assert_eq!((moved[0].revision, moved[0].waits_for[0].as_str()), (2, "approve-order"));
    let approve = participants.asked("approve-order").await;
    participants.succeed(&approve).await;
    let moved = next(&mut one).await.unwrap();
    assert_eq!((moved[0].status(), moved[0].revision), (SagaStatus::Completed, 3));
    assert_eq!(next(&mut one).await, None);
    assert_eq!(next(&mut its_end).await.unwrap(), moved);
    assert_eq!(next(&mut its_end).await, None);

    let told = next(&mut ended).await.unwrap();
    assert_eq!(told, moved);
    assert!(told[0].ended_at.is_some());

    // Of what has ended, one word is said.
    let mut one = watch(&mut client, by_id.clone()).await;
    assert_eq!(next(&mut one).await.unwrap(), moved);
    assert_eq!(next(&mut one).await, None);
    let both = WatchSagasRequest { definition: "other".to_owned(), ..by_id };
    assert_eq!(client.watch_sagas(both).await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = WatchSagasRequest { id: "nobody".to_owned(), ..WatchSagasRequest::default() };
    assert_eq!(client.watch_sagas(unknown).await.unwrap_err().code(), Code::NotFound);

    // The coordinator does not wait for those who watch.
    coordinator.stop().await;
    assert_eq!(next(&mut others).await, None);
    assert_eq!(next(&mut ended).await, None);
}

#[tokio::test]
async fn a_saga_that_moves_while_it_is_read_is_shown_as_it_was_found() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (coordinator, mut client) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let order = Uuid::now_v7().to_string();
    participants.publish_placed(&order).await;
    let asked = participants.asked("authorize-payment").await;

    // The line of a move that is committed after the saga itself was read.
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let moved = query(
        "INSERT INTO saga_journal (saga_id, revision, happened, step, direction, attempt, outcome, sent)
         VALUES ($1, 2, 'answered', 'authorize-payment', 'invoke', 1, 'succeeded', '')",
    );
    moved.bind(asked.saga.saga_id).execute(&db).await.unwrap();
    let found = once(&mut client, &order, SagaStatus::Running).await;
    assert_eq!(found.journal.iter().map(|line| line.revision).collect::<Vec<_>>(), [1]);
    assert!(found.journal_agrees, "{found:?}");
    coordinator.stop().await;
}

async fn watch(client: &mut Client, request: WatchSagasRequest) -> Streaming<WatchSagasResponse> {
    client.watch_sagas(request).await.unwrap().into_inner()
}

/// `None` when the stream has ended.
async fn next(stream: &mut Streaming<WatchSagasResponse>) -> Option<Vec<Saga>> {
    let response = timeout(PATIENCE, stream.message()).await.unwrap().unwrap()?;
    assert!(!response.moves_missed);
    Some(response.sagas)
}
