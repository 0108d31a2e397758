//! On a real Postgres.

use sqlx::{PgConnection, PgPool, query, query_scalar};

use super::*;

const DECIDED_COUNT: i64 = 20_000;

/// Three orders that are not decided, the oldest of all, before many that are.
async fn open() -> PgPool {
    let url = provision::cluster::shared().await.database("order_lists").await;
    let db = PgPool::connect(&url).await.unwrap();
    messaging::housekeeping::migrate(&db).await.unwrap();
    sqlx::migrate!("../../migrations/order").run(&db).await.unwrap();
    query(
        r#"INSERT INTO "order" (id, request_id, request_hash, status, customer_id, payment_method,
               currency, total_minor, lines, piece_count, placed_at, decided_at)
           SELECT lpad(to_hex(n), 32, '0')::uuid, n, ''::bytea, status, '', 'tok_ok', 'EUR',
               1, '[]'::jsonb, 1,
               now(), CASE status WHEN 'confirmed' THEN now() END
           FROM generate_series(1, $1 + 3) AS n,
               LATERAL (SELECT CASE n WHEN 1 THEN 'pending' WHEN 2 THEN 'cancelling'
                   WHEN 3 THEN 'pending' ELSE 'confirmed' END) AS standing (status)"#,
    )
    .bind(DECIDED_COUNT)
    .execute(&db)
    .await
    .unwrap();
    query(
        r#"INSERT INTO outbox_undecided (kind, key, topic, payload)
           SELECT $1, id::text, '', ''::bytea FROM "order" WHERE decided_at IS NULL
           UNION ALL SELECT 'another', 'no order', '', ''"#,
    )
    .bind(OrderPlaced::full_name())
    .execute(&db)
    .await
    .unwrap();
    query("ANALYZE").execute(&db).await.unwrap();
    db
}

async fn listed(db: &mut PgConnection, statuses: &[Status], before: Uuid) -> Vec<u128> {
    let filter = Filter { statuses: statuses.to_vec(), customer_id: String::new() };
    let orders = list(db, &filter, before, 50).await.unwrap();
    orders.iter().map(|order| order.id.as_u128()).collect()
}

/// Rows of orders that this connection has read, as far as nobody else knows yet.
async fn read(db: &mut PgConnection) -> i64 {
    let count = query_scalar(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0)
         FROM pg_stat_xact_user_tables WHERE relname = 'order'",
    );
    count.fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn what_is_not_decided_is_listed_without_walking_what_is() {
    let db = open().await;
    let mut tx = db.begin().await.unwrap();
    let read_before = read(&mut tx).await;
    let all = Uuid::max();
    assert_eq!(listed(&mut tx, &[Status::Pending], all).await, [3, 1]);
    assert_eq!(listed(&mut tx, &[Status::Cancelling], all).await, [2]);
    assert_eq!(listed(&mut tx, &[Status::Pending, Status::Cancelling], all).await, [3, 2, 1]);
    assert_eq!(listed(&mut tx, &[Status::Pending], Uuid::from_u128(3)).await, [1]);

    let read_count = read(&mut tx).await - read_before;
    assert!(read_count < 100, "{read_count}");

    let mixed = listed(&mut tx, &[Status::Pending, Status::Confirmed], Uuid::from_u128(5)).await;
    assert_eq!(mixed, [4, 3, 1]);
}
