//! On a real Postgres.

use prost::{Message, Name};
use proto::order::OrderPlaced;
use sqlx::PgPool;

use super::*;

#[tokio::test]
async fn an_order_that_an_older_build_left_undecided_is_announced_as_it_was_placed() {
    let url = provision::cluster::shared().await.database("order_undecided").await;
    let db = PgPool::connect(&url).await.unwrap();
    messaging::housekeeping::migrate(&db).await.unwrap();
    let migrator = sqlx::migrate!("../../migrations/order");
    migrator.run_to(2, &db).await.unwrap();
    let many_lines: Vec<Line> = (1..=100).map(|n| line(&format!("SKU-{n}"), n * 100)).collect();
    let orders = [
        (vec![line("SKU-1", 1)], 0, "", "tok_ok"),
        (
            vec![line("É-2", 10_000), line("SKU-1", 127)],
            1_000_000_000_000_000_i64,
            "grace",
            "tok_é",
        ),
        (many_lines, 12_345, "ada", "tok_ok"),
    ];
    for (lines, total_minor, customer_id, payment_method) in &orders {
        let id = Uuid::now_v7();
        query(
            r#"INSERT INTO "order" (id, request_id, request_hash, customer_id, payment_method,
                   currency, total_minor, lines, piece_count, placed_at)
               VALUES ($1, $1::text, '', $2, $3, 'EUR', $4, $5, 1, now())"#,
        )
        .bind(id)
        .bind(customer_id)
        .bind(payment_method)
        .bind(total_minor)
        .bind(Json(lines))
        .execute(&db)
        .await
        .unwrap();
        let undecided =
            query("INSERT INTO order_undecided (order_id, next_announce_at) VALUES ($1, now())");
        undecided.bind(id).execute(&db).await.unwrap();
    }

    migrator.run(&db).await.unwrap();

    let kept: Vec<(String, String, String, Vec<u8>)> =
        query_as("SELECT kind, topic, key, payload FROM outbox_undecided")
            .fetch_all(&db)
            .await
            .unwrap();
    assert_eq!(kept.len(), orders.len());
    for (kind, topic, key, payload) in kept {
        let order = get(&db, Uuid::try_parse(&key).unwrap()).await.unwrap().unwrap();
        assert_eq!((kind, &*topic), (OrderPlaced::full_name(), "order.events.v1"));
        assert_eq!(payload, order.placed().encode_to_vec());
    }
}

fn line(sku: &str, quantity: u32) -> Line {
    Line { sku: sku.to_owned(), quantity, unit_price_minor: 1 }
}
