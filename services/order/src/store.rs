//! The SQL of orders. A batch is read and written by one statement each; its arrays are unnested in
//! the select list, where they stream.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, PgExecutor, query, query_as, query_scalar, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Change, Line, Order, Standing, Status},
    placing::{Placing, Price},
};

mod lists;

pub(crate) use lists::{Filter, Item, Sum, catalog, list, sums};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[derive(FromRow)]
struct Row {
    id: Uuid,
    #[sqlx(try_from = "String")]
    status: Status,
    customer_id: String,
    payment_method: String,
    currency: String,
    total_minor: i64,
    lines: Json<Vec<Line>>,
    reason: String,
    placed_at: OffsetDateTime,
    decided_at: Option<OffsetDateTime>,
}

impl From<Row> for Order {
    fn from(row: Row) -> Self {
        Order {
            id: row.id,
            status: row.status,
            customer_id: row.customer_id,
            payment_method: row.payment_method,
            currency: row.currency,
            total_minor: row.total_minor,
            lines: row.lines.0,
            reason: row.reason,
            placed_at: row.placed_at,
            decided_at: row.decided_at,
        }
    }
}

macro_rules! columns {
    () => {
        "o.id, o.status, o.customer_id, o.payment_method, o.currency, o.total_minor, o.lines, \
         o.reason, o.placed_at, o.decided_at"
    };
}
use columns;

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM ", $rest)
    };
}

/// Prices of these items, as far as they are in the catalogue.
pub(crate) async fn prices(
    connection: &mut PgConnection,
    skus: &[&str],
) -> Result<HashMap<String, Price>> {
    let rows: Vec<(String, i64, String)> =
        query_as("SELECT sku, price_minor, currency FROM catalog WHERE sku = ANY($1)")
            .bind(skus)
            .fetch_all(connection)
            .await?;
    let price = |(sku, minor_units, currency)| (sku, Price { minor_units, currency });
    Ok(rows.into_iter().map(price).collect())
}

/// Inserts the orders whose request ids are new, and tells which ones these are.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    orders: &[(&Placing, &Order)],
) -> Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = orders.iter().map(|(_, order)| order.id).collect();
    let request_ids: Vec<&str> =
        orders.iter().map(|(placing, _)| placing.request_id.as_str()).collect();
    let hashes: Vec<&[u8]> = orders.iter().map(|(placing, _)| placing.hash.as_slice()).collect();
    let text = |field: fn(&Order) -> &str| -> Vec<&str> {
        orders.iter().map(|(_, order)| field(order)).collect()
    };
    let totals: Vec<i64> = orders.iter().map(|(_, order)| order.total_minor).collect();
    let lines: Vec<Json<&[Line]>> =
        orders.iter().map(|(_, order)| Json(order.lines.as_slice())).collect();
    let piece_counts: Vec<i64> = orders.iter().map(|(_, order)| order.piece_count()).collect();
    let placed_at: Vec<OffsetDateTime> = orders.iter().map(|(_, order)| order.placed_at).collect();
    query_scalar(
        r#"INSERT INTO "order" (id, request_id, request_hash, customer_id, payment_method,
               currency, total_minor, lines, piece_count, placed_at)
           SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::bytea[]),
               unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
               unnest($7::bigint[]), unnest($8::jsonb[]), unnest($9::bigint[]),
               unnest($10::timestamptz[])
           ON CONFLICT (request_id) DO NOTHING
           RETURNING id"#,
    )
    .bind(&ids)
    .bind(&request_ids)
    .bind(&hashes)
    .bind(text(|order| &order.customer_id))
    .bind(text(|order| &order.payment_method))
    .bind(text(|order| &order.currency))
    .bind(&totals)
    .bind(&lines)
    .bind(&piece_counts)
    .bind(&placed_at)
    .fetch_all(connection)
    .await
}

/// The orders of these request ids, with the hashes of what was asked for.
pub(crate) async fn by_request_ids(
    connection: &mut PgConnection,
    request_ids: &[&str],
) -> Result<HashMap<String, (Vec<u8>, Order)>> {
    #[derive(FromRow)]
    struct Asked {
        request_id: String,
        request_hash: Vec<u8>,
        #[sqlx(flatten)]
        order: Row,
    }
    let rows: Vec<Asked> = query_as(concat!(
        "SELECT o.request_id, o.request_hash, ",
        columns!(),
        r#" FROM "order" AS o WHERE o.request_id = ANY($1)"#
    ))
    .bind(request_ids)
    .fetch_all(connection)
    .await?;
    let asked = |row: Asked| (row.request_id, (row.request_hash, row.order.into()));
    Ok(rows.into_iter().map(asked).collect())
}

/// These orders, locked in sorted order.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Order>> {
    let rows: Vec<Row> =
        query_as(select!(r#""order" AS o WHERE o.id = ANY($1) ORDER BY o.id FOR UPDATE"#))
            .bind(ids)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}

/// How these orders stand, locked in sorted order.
pub(crate) async fn lock_standings(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Standing>> {
    #[derive(FromRow)]
    struct Columns {
        id: Uuid,
        #[sqlx(try_from = "String")]
        status: Status,
        reason: String,
    }
    let rows: Vec<Columns> = query_as(
        r#"SELECT id, status, reason FROM "order" WHERE id = ANY($1) ORDER BY id FOR UPDATE"#,
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let standing = |Columns { id, status, reason }| (id, Standing { status, reason });
    Ok(rows.into_iter().map(standing).collect())
}

pub(crate) async fn save(connection: &mut PgConnection, changes: &[Change]) -> Result<()> {
    let ids: Vec<Uuid> = changes.iter().map(|change| change.order_id).collect();
    let statuses: Vec<&str> = changes.iter().map(|change| change.status.as_str()).collect();
    let reasons: Vec<&str> = changes.iter().map(|change| change.reason.as_str()).collect();
    let decided_at: Vec<Option<OffsetDateTime>> =
        changes.iter().map(|change| change.decided_at).collect();
    query(
        r#"UPDATE "order" AS o
           SET status = change.status, reason = change.reason, decided_at = change.decided_at
           FROM (
               SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS status,
                   unnest($3::text[]) AS reason, unnest($4::timestamptz[]) AS decided_at
           ) AS change
           WHERE o.id = change.id"#,
    )
    .bind(&ids)
    .bind(&statuses)
    .bind(&reasons)
    .bind(&decided_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn get(db: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Order>> {
    let row: Option<Row> =
        query_as(select!(r#""order" AS o WHERE o.id = $1"#)).bind(id).fetch_optional(db).await?;
    Ok(row.map(Order::from))
}

/// How these orders stand.
pub(crate) async fn changes(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Change>> {
    #[derive(FromRow)]
    struct Columns {
        id: Uuid,
        #[sqlx(try_from = "String")]
        status: Status,
        reason: String,
        decided_at: Option<OffsetDateTime>,
    }
    let rows: Vec<Columns> =
        query_as(r#"SELECT id, status, reason, decided_at FROM "order" WHERE id = ANY($1)"#)
            .bind(ids)
            .fetch_all(db)
            .await?;
    let change = |Columns { id, status, reason, decided_at }| Change {
        order_id: id,
        status,
        reason,
        decided_at,
    };
    Ok(rows.into_iter().map(change).collect())
}

#[cfg(test)]
mod tests;
