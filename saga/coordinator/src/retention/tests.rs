use std::time::Duration;

use messaging::message::first_id_at;
use sqlx::{PgPool, query, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{FORGET_LIMIT, forget};
use crate::store;

const DAY: Duration = Duration::from_hours(24);

/// Begun so many days ago; and ended, if at all.
async fn saga(db: &PgPool, begun: u32, ended: Option<u32>) -> Uuid {
    let at = |days: u32| OffsetDateTime::now_utc() - DAY * days;
    let own = Uuid::now_v7().as_u64_pair().1;
    let id = Uuid::from_u128(first_id_at(at(begun)).as_u128() | u128::from(own));
    query(
        "WITH begun AS (
            INSERT INTO saga (id, definition, version, key, revision, instance, status, waits_for,
                clock, wake_at, started_at, ended_at)
            VALUES ($1, 'd', 'v', $1::text, 1, '{}', 's', '', '{}', now(), $2, $3)
        ), line AS (
            INSERT INTO saga_journal (saga_id, revision, happened, sent) VALUES ($1, 1, 'started', '')
        )
        INSERT INTO saga_intervention (request_id, saga_id, asked) VALUES ($1::text, $1, 'Pause')",
    )
    .bind(id)
    .bind(at(begun))
    .bind(ended.map(at))
    .execute(db)
    .await
    .unwrap();
    id
}

async fn ids(db: &PgPool, statement: &'static str) -> Vec<Uuid> {
    query_scalar(statement).fetch_all(db).await.unwrap()
}

#[tokio::test]
async fn only_what_ended_long_ago_is_forgotten_and_all_of_it() {
    let url = provision::cluster::shared().await.database("retention").await;
    let db = PgPool::connect(&url).await.unwrap();
    store::migrate(&db).await.unwrap();
    for _ in 0..3 {
        saga(&db, 40, Some(39)).await;
    }
    let kept = [
        saga(&db, 90, None).await,
        saga(&db, 80, Some(79)).await,
        saga(&db, 70, Some(69)).await,
        saga(&db, 40, Some(2)).await,
        saga(&db, 1, Some(1)).await,
    ];
    query("UPDATE saga SET status = 'resolved' WHERE id = $1")
        .bind(kept[1])
        .execute(&db)
        .await
        .unwrap();
    query("UPDATE saga_journal SET verb = 'skip' WHERE saga_id = $1")
        .bind(kept[2])
        .execute(&db)
        .await
        .unwrap();

    assert_eq!(forget(&db, DAY * 30).await.unwrap(), 3);
    assert_eq!(forget(&db, DAY * 30).await.unwrap(), 0);

    for statement in [
        "SELECT id FROM saga ORDER BY id",
        "SELECT saga_id FROM saga_journal ORDER BY saga_id",
        "SELECT saga_id FROM saga_intervention ORDER BY saga_id",
    ] {
        assert_eq!(ids(&db, statement).await, kept, "{statement}");
    }
}

#[tokio::test]
async fn what_is_forgotten_at_once_is_limited() {
    let url = provision::cluster::shared().await.database("retention-limit").await;
    let db = PgPool::connect(&url).await.unwrap();
    store::migrate(&db).await.unwrap();
    query(
        "INSERT INTO saga (id, definition, version, key, revision, instance, status, waits_for,
            clock, wake_at, ended_at)
         SELECT lpad(to_hex(n), 32, '0')::uuid, 'd', 'v', n::text, 1, '{}', 's', '', '{}', now(),
            '1970-01-01Z'
         FROM generate_series(1, $1 + 1) AS n",
    )
    .bind(FORGET_LIMIT)
    .execute(&db)
    .await
    .unwrap();
    assert_eq!(forget(&db, DAY).await.unwrap(), FORGET_LIMIT);
    assert_eq!(forget(&db, DAY).await.unwrap(), 1);
}
