//! On a real Postgres.

use sqlx::query;

use super::*;

#[tokio::test]
async fn a_sum_of_more_than_can_be_counted_is_as_much_as_can_be() {
    let url = provision::cluster::shared().await.database("payment_reads").await;
    let db = PgPool::connect(&url).await.unwrap();
    sqlx::migrate!("../../migrations/payment").run(&db).await.unwrap();
    for _ in 0..2 {
        query(
            "INSERT INTO payment (order_id, status, amount_minor, currency, method)
             VALUES ($1, 'captured', $2, 'EUR', 'tok_ok')",
        )
        .bind(Uuid::now_v7())
        .bind(i64::MAX)
        .execute(&db)
        .await
        .unwrap();
    }
    let sums = summaries(&db).await.unwrap();
    assert_eq!((sums[0].payment_count, sums[0].total_minor_units), (2, i64::MAX));
}
