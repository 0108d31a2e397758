//! Reads over many orders: pages, sums, and the catalogue.

use messaging::message::first_id_at;
use prost::Name;
use proto::order::OrderPlaced;
use sqlx::{FromRow, PgExecutor, query_as};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Result, Row, columns};
use crate::domain::{Order, Status};

/// Which orders to list.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Empty for all.
    pub(crate) statuses: Vec<Status>,
    /// Empty for all.
    pub(crate) customer_id: String,
}

/// The newest orders before `before`, at most `limit`. Orders are walked from the newest on, a
/// customer's by their own index, undecided ones by what messaging keeps of them, cancelled ones by
/// an index of these: no index on the status burdens each decision.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    before: Uuid,
    limit: i64,
) -> Result<Vec<Order>> {
    let Filter { statuses, customer_id } = filter;
    let statuses: &[Status] = if statuses.is_empty() { &Status::ALL } else { statuses };
    let names: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    let rows: Vec<Row> = if !customer_id.is_empty() {
        query_as(concat!(
            "SELECT ",
            columns!(),
            r#" FROM "order" AS o
               WHERE o.customer_id = $3 AND o.customer_id <> '' AND o.id < $1
                   AND o.status = ANY($4)
               ORDER BY o.id DESC LIMIT $2"#
        ))
        .bind(before)
        .bind(limit)
        .bind(customer_id)
        .bind(&names)
        .fetch_all(db)
        .await?
    } else if !statuses.contains(&Status::Confirmed) {
        query_as(concat!(
            "(SELECT ",
            columns!(),
            r#" FROM outbox_undecided AS undecided
               JOIN "order" AS o ON o.id = undecided.key::uuid
               WHERE undecided.kind = $4 AND undecided.key < $1::text AND o.status = ANY($3)
               ORDER BY undecided.key DESC LIMIT $2)
               UNION ALL
               (SELECT "#,
            columns!(),
            r#" FROM "order" AS o
               WHERE o.cancelled AND o.id < $1 AND 'cancelled' = ANY($3)
               ORDER BY o.id DESC LIMIT $2)
               ORDER BY id DESC LIMIT $2"#
        ))
        .bind(before)
        .bind(limit)
        .bind(&names)
        .bind(OrderPlaced::full_name())
        .fetch_all(db)
        .await?
    } else if statuses.len() < Status::ALL.len() {
        query_as(concat!(
            "SELECT ",
            columns!(),
            r#" FROM "order" AS o WHERE o.id < $1 AND o.status = ANY($3)
               ORDER BY o.id DESC LIMIT $2"#
        ))
        .bind(before)
        .bind(limit)
        .bind(&names)
        .fetch_all(db)
        .await?
    } else {
        query_as(concat!(
            "SELECT ",
            columns!(),
            r#" FROM "order" AS o WHERE o.id < $1 ORDER BY o.id DESC LIMIT $2"#
        ))
        .bind(before)
        .bind(limit)
        .fetch_all(db)
        .await?
    };
    Ok(rows.into_iter().map(Order::from).collect())
}

/// Orders of one status and currency, added up.
#[derive(Debug, FromRow)]
pub(crate) struct Sum {
    #[sqlx(try_from = "String")]
    pub(crate) status: Status,
    pub(crate) currency: String,
    pub(crate) order_count: i64,
    pub(crate) total_minor: i64,
    pub(crate) piece_count: i64,
}

/// Sums over the orders placed at or after a time.
pub(crate) async fn sums(
    db: impl PgExecutor<'_>,
    placed_after: OffsetDateTime,
) -> Result<Vec<Sum>> {
    query_as(
        r#"SELECT status, currency, count(*) AS order_count,
               least(sum(total_minor), 9223372036854775807)::bigint AS total_minor,
               least(sum(piece_count), 9223372036854775807)::bigint AS piece_count
           FROM "order" WHERE id >= $1 AND placed_at >= $2
           GROUP BY status, currency ORDER BY status, currency"#,
    )
    .bind(first_id_at(placed_after))
    .bind(placed_after)
    .fetch_all(db)
    .await
}

/// What can be ordered.
#[derive(Debug, FromRow)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) price_minor: i64,
    pub(crate) currency: String,
}

/// The catalogue by SKU, at most `limit` items after `after`.
pub(crate) async fn catalog(db: impl PgExecutor<'_>, after: &str, limit: i64) -> Result<Vec<Item>> {
    query_as(
        "SELECT sku, name, price_minor, currency FROM catalog WHERE sku > $1
         ORDER BY sku LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests;
