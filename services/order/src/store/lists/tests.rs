//! On a real Postgres.

use sqlx::{PgConnection, PgPool, query, query_scalar};

use super::*;
use crate::{domain::Change, store::save};

const DECIDED_COUNT: i64 = 20_000;

/// Three orders that are not decided, and one that is cancelled, the oldest of all, before many that
/// are confirmed.
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
               now(), CASE WHEN status IN ('confirmed', 'cancelled') THEN now() END
           FROM generate_series(1, $1 + 4) AS n,
               LATERAL (SELECT CASE n WHEN 1 THEN 'pending' WHEN 2 THEN 'cancelling'
                   WHEN 3 THEN 'pending' WHEN 4 THEN 'cancelled' ELSE 'confirmed' END) AS standing (status)"#,
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
async fn what_is_not_confirmed_is_listed_without_walking_what_is() {
    let db = open().await;
    let mut tx = db.begin().await.unwrap();
    let read_before = read(&mut tx).await;
    let all = Uuid::max();
    assert_eq!(listed(&mut tx, &[Status::Pending], all).await, [3, 1]);
    assert_eq!(listed(&mut tx, &[Status::Cancelling], all).await, [2]);
    assert_eq!(listed(&mut tx, &[Status::Pending, Status::Cancelling], all).await, [3, 2, 1]);
    assert_eq!(listed(&mut tx, &[Status::Pending], Uuid::from_u128(3)).await, [1]);
    assert_eq!(listed(&mut tx, &[Status::Cancelled], all).await, [4]);
    assert_eq!(listed(&mut tx, &[Status::Cancelled], Uuid::from_u128(4)).await, []);
    assert_eq!(listed(&mut tx, &[Status::Cancelled, Status::Pending], all).await, [4, 3, 1]);

    let read_count = read(&mut tx).await - read_before;
    assert!(read_count < 100, "{read_count}");

    let mixed = listed(&mut tx, &[Status::Pending, Status::Confirmed], Uuid::from_u128(6)).await;
    assert_eq!(mixed, [5, 3, 1]);
}

#[tokio::test]
async fn a_confirmed_order_stays_in_its_page() {
    let db = open().await;
    let mut tx = db.begin().await.unwrap();
    let mut decide = async |id: u128, status: Status| {
        let decided_at = Some(OffsetDateTime::now_utc());
        let (order_id, reason) = (Uuid::from_u128(id), String::new());
        let change = Change { order_id, status, reason, decided_at };
        save(&mut tx, &[change]).await.unwrap();
        let in_page = query_scalar::<_, i64>(
            "SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'order'",
        );
        in_page.fetch_one(&mut *tx).await.unwrap()
    };
    assert_eq!(decide(1, Status::Confirmed).await, 1);
    assert_eq!(decide(3, Status::Cancelled).await, 1, "only what is cancelled is in that index");
}
