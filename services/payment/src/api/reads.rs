//! What the API reads.

use bootstrap::timestamp;
use proto::{
    payment::{Payment, PaymentStatus, PaymentSummary},
    shop::Money,
};
use sqlx::{FromRow, PgPool, query_as, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::Status;

/// How many payments a page with a filter looks at: a rare status makes short pages, not slow ones.
const LOOKED_AT_MAX: i64 = 10_000;

#[derive(FromRow)]
struct Stored {
    order_id: Uuid,
    status: String,
    amount_minor: i64,
    currency: String,
    method: String,
    authorization_number: String,
    reason: String,
    asked_at: OffsetDateTime,
    moved_at: OffsetDateTime,
}

pub(super) async fn payment(db: &PgPool, order_id: Uuid) -> sqlx::Result<Option<Payment>> {
    let row: Option<Stored> = query_as(
        "SELECT order_id, status, amount_minor, currency, method, authorization_number, reason,
            asked_at, moved_at
         FROM payment WHERE order_id = $1",
    )
    .bind(order_id)
    .fetch_optional(db)
    .await?;
    row.map(Stored::payment).transpose()
}

/// Payments before this order, the newest first (an order's id begins with its time), and where the
/// next page begins.
pub(super) async fn page(
    db: &PgPool,
    before: Option<Uuid>,
    labels: &[&str],
    page_size: i64,
) -> sqlx::Result<(Vec<Payment>, Option<Uuid>)> {
    let before = before.unwrap_or(Uuid::max());
    let horizon = if labels.is_empty() { None } else { horizon(db, before).await? };
    let mut rows: Vec<Stored> = query_as(
        "SELECT order_id, status, amount_minor, currency, method, authorization_number, reason,
            asked_at, moved_at
         FROM payment
         WHERE order_id < $1 AND order_id >= $2 AND (cardinality($3::text[]) = 0 OR status = ANY($3))
         ORDER BY order_id DESC LIMIT $4",
    )
    .bind(before)
    .bind(horizon.unwrap_or(Uuid::nil()))
    .bind(labels)
    .bind(page_size + 1)
    .fetch_all(db)
    .await?;
    let is_full = rows.len() as i64 > page_size;
    rows.truncate(usize::try_from(page_size).unwrap_or_default());
    let next = if is_full { rows.last().map(|row| row.order_id) } else { horizon };
    let payments = rows.into_iter().map(Stored::payment).collect::<sqlx::Result<_>>()?;
    Ok((payments, next))
}

/// The last payment that a page with a filter looks at; none when it reaches the end.
async fn horizon(db: &PgPool, before: Uuid) -> sqlx::Result<Option<Uuid>> {
    let horizon = query_scalar(
        "SELECT order_id FROM payment WHERE order_id < $1
         ORDER BY order_id DESC OFFSET $2 LIMIT 1",
    );
    horizon.bind(before).bind(LOOKED_AT_MAX - 1).fetch_optional(db).await
}

/// One statement, so that all sums are of one moment. It reads every payment.
pub(super) async fn summaries(db: &PgPool) -> sqlx::Result<Vec<PaymentSummary>> {
    let rows: Vec<(String, String, i64, i64)> = query_as(
        "SELECT status, currency, count(*),
            least(sum(amount_minor), 9223372036854775807)::bigint
         FROM payment GROUP BY status, currency ORDER BY status, currency",
    )
    .fetch_all(db)
    .await?;
    let summary = |(status, currency, payment_count, total_minor_units): (String, _, _, _)| {
        let status = status_of(&status)?.into();
        Ok(PaymentSummary { status, currency, payment_count, total_minor_units })
    };
    rows.into_iter().map(summary).collect()
}

impl Stored {
    fn payment(self) -> sqlx::Result<Payment> {
        Ok(Payment {
            order_id: self.order_id.to_string(),
            status: status_of(&self.status)?.into(),
            amount: Some(Money { minor_units: self.amount_minor, currency: self.currency }),
            payment_method: self.method,
            authorization: self.authorization_number,
            reason: self.reason,
            asked_at: Some(timestamp(self.asked_at)),
            moved_at: Some(timestamp(self.moved_at)),
        })
    }
}

fn status_of(label: &str) -> sqlx::Result<PaymentStatus> {
    Ok(match Status::from_label(label)? {
        Status::Pending => PaymentStatus::Pending,
        Status::Authorized => PaymentStatus::Authorized,
        Status::Declined => PaymentStatus::Declined,
        Status::Captured => PaymentStatus::Captured,
        Status::Voided => PaymentStatus::Voided,
    })
}

#[cfg(test)]
mod tests;
