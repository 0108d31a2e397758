//! What the API reads.

use bootstrap::timestamp;
use proto::inventory::{Reservation, ReservationStatus, ReservedLine, SummarizeStockResponse};
use sqlx::{PgPool, query_as, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    catalog::Item,
    domain::{Line, Status},
};

pub(super) async fn item(db: &PgPool, sku: &str) -> sqlx::Result<Option<Item>> {
    let item = query_as(
        "SELECT sku, name, price_minor, currency, revision, available, reserved, committed, stocked
         FROM item WHERE sku = $1",
    );
    item.bind(sku).fetch_optional(db).await
}

pub(super) async fn items_after(db: &PgPool, after: &str, limit: i64) -> sqlx::Result<Vec<Item>> {
    let items = query_as(
        "SELECT sku, name, price_minor, currency, revision, available, reserved, committed, stocked
         FROM item WHERE sku > $1 ORDER BY sku LIMIT $2",
    );
    items.bind(after).bind(limit).fetch_all(db).await
}

pub(super) async fn reservation(db: &PgPool, order_id: Uuid) -> sqlx::Result<Option<Reservation>> {
    let row: Option<(String, Json<Vec<Line>>, OffsetDateTime)> =
        query_as("SELECT status, lines, reserved_at FROM reservation WHERE order_id = $1")
            .bind(order_id)
            .fetch_optional(db)
            .await?;
    let Some((status, Json(lines), reserved_at)) = row else { return Ok(None) };
    let status = match Status::from_label(&status)? {
        Status::Reserved => ReservationStatus::Reserved,
        Status::Released => ReservationStatus::Released,
        Status::Committed => ReservationStatus::Committed,
    };
    let line = |Line { sku, quantity }| ReservedLine { sku, quantity };
    Ok(Some(Reservation {
        order_id: order_id.to_string(),
        status: status.into(),
        lines: lines.into_iter().map(line).collect(),
        reserved_at: Some(timestamp(reserved_at)),
    }))
}

/// One statement, so that all sums are of one moment. It reads every reservation.
pub(super) async fn summary(db: &PgPool) -> sqlx::Result<SummarizeStockResponse> {
    let (available, reserved, committed, stocked, reserved_by_orders) = query_as(
        "SELECT coalesce(sum(available), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
            coalesce(sum(committed), 0)::bigint, coalesce(sum(stocked), 0)::bigint,
            (SELECT coalesce(sum((line ->> 'quantity')::bigint), 0)::bigint
             FROM reservation, jsonb_array_elements(lines) AS line WHERE status = 'reserved')
         FROM item",
    )
    .fetch_one(db)
    .await?;
    Ok(SummarizeStockResponse { available, reserved, committed, stocked, reserved_by_orders })
}
