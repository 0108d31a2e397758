//! Payments in the database, many in one statement.

use std::time::Duration;

use sqlx::{FromRow, PgConnection, PgPool, query, query_as};
use uuid::Uuid;

use crate::{
    domain::{Call, CallKind, NextCall, Payment, Payments, Row, Status},
    gateway::Charge,
};

#[derive(FromRow)]
struct Stored {
    order_id: Uuid,
    status: String,
    amount_minor: i64,
    currency: String,
    method: String,
    authorization_number: String,
    reason: String,
    try_count: i32,
    needs_call: bool,
}

/// The payments of these orders, locked in sorted order.
pub(crate) async fn load(connection: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Payments> {
    let rows: Vec<Stored> = query_as(
        "SELECT order_id, status, amount_minor, currency, method, authorization_number, reason,
            try_count, next_try_at IS NOT NULL AS needs_call
         FROM payment WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(orders)
    .fetch_all(connection)
    .await?;
    let payments: sqlx::Result<_> =
        rows.into_iter().map(|row| Ok((row.order_id, row.payment()?))).collect();
    Ok(Payments(payments?))
}

/// Writes what has changed since it was loaded.
pub(crate) async fn save(connection: &mut PgConnection, payments: &Payments) -> sqlx::Result<()> {
    let of = |row: Row| payments.0.values().filter(|payment| payment.row == row).collect();
    let (new, changed): (Vec<&Payment>, Vec<&Payment>) = (of(Row::New), of(Row::Changed));
    if new.is_empty() && changed.is_empty() {
        return Ok(());
    }
    query(
        "WITH asked AS (
            INSERT INTO payment (order_id, amount_minor, currency, method,
                status, authorization_number, reason, next_try_at)
            SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::text[]),
                unnest($4::text[]), unnest($5::text[]), unnest($6::text[]), unnest($7::text[]),
                now() + unnest($8::bigint[]) * interval '1 ms'
        )
        UPDATE payment
        SET amount_minor = row.amount_minor, currency = row.currency, method = row.method,
            authorization_number = row.authorization_number, reason = row.reason,
            try_count = row.try_count,
            next_try_at = CASE WHEN row.keeps_call THEN payment.next_try_at
                ELSE now() + row.pause_ms * interval '1 ms' END,
            moved_at = CASE WHEN payment.status = row.status THEN payment.moved_at
                ELSE now() END,
            status = row.status
        FROM (
            SELECT unnest($9::uuid[]) AS order_id, unnest($10::bigint[]) AS amount_minor,
                unnest($11::text[]) AS currency, unnest($12::text[]) AS method,
                unnest($13::text[]) AS status, unnest($14::text[]) AS authorization_number,
                unnest($15::text[]) AS reason, unnest($16::bigint[]) AS pause_ms,
                unnest($17::int[]) AS try_count, unnest($18::bool[]) AS keeps_call
        ) AS row
        WHERE payment.order_id = row.order_id",
    )
    .bind(column(&new, |payment| payment.charge.order_id))
    .bind(column(&new, |payment| payment.charge.amount_minor))
    .bind(column(&new, |payment| payment.charge.currency.as_str()))
    .bind(column(&new, |payment| payment.charge.method.as_str()))
    .bind(column(&new, |payment| payment.status.label()))
    .bind(column(&new, |payment| payment.number.as_str()))
    .bind(column(&new, |payment| payment.reason.as_str()))
    .bind(column(&new, |payment| payment.next_call.pause_ms()))
    .bind(column(&changed, |payment| payment.charge.order_id))
    .bind(column(&changed, |payment| payment.charge.amount_minor))
    .bind(column(&changed, |payment| payment.charge.currency.as_str()))
    .bind(column(&changed, |payment| payment.charge.method.as_str()))
    .bind(column(&changed, |payment| payment.status.label()))
    .bind(column(&changed, |payment| payment.number.as_str()))
    .bind(column(&changed, |payment| payment.reason.as_str()))
    .bind(column(&changed, |payment| payment.next_call.pause_ms()))
    .bind(column(&changed, |payment| payment.charge.try_number.cast_signed()))
    .bind(column(&changed, |payment| payment.next_call == NextCall::AsStored))
    .execute(connection)
    .await?;
    Ok(())
}

fn column<'a, T>(payments: &[&'a Payment], of: impl Fn(&'a Payment) -> T) -> Vec<T> {
    payments.iter().map(|payment| of(payment)).collect()
}

/// Takes calls that are due, at most `limit`, and nobody else does for the time of the lease: a call
/// whose process dies is due again after it.
pub(crate) async fn take_due(
    db: &PgPool,
    limit: usize,
    lease: Duration,
) -> sqlx::Result<Vec<Call>> {
    let rows: Vec<Stored> = query_as(
        "WITH due AS MATERIALIZED (
            SELECT order_id FROM payment WHERE next_try_at <= now()
            ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED
         )
         UPDATE payment
         SET try_count = try_count + 1, next_try_at = now() + $2 * interval '1 ms'
         WHERE order_id = ANY(ARRAY(SELECT order_id FROM due))
         RETURNING order_id, status, amount_minor, currency, method, authorization_number,
            reason, try_count, true AS needs_call",
    )
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(ms(lease))
    .fetch_all(db)
    .await?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in rows {
        let Payment { charge, status, number, .. } = row.payment()?;
        calls.extend(CallKind::of(status).map(|kind| Call { kind, charge, number }));
    }
    Ok(calls)
}

impl Stored {
    fn payment(self) -> sqlx::Result<Payment> {
        let status = Status::from_label(&self.status)?;
        Ok(Payment {
            charge: Charge {
                order_id: self.order_id,
                amount_minor: self.amount_minor,
                currency: self.currency,
                method: self.method,
                try_number: self.try_count.cast_unsigned(),
            },
            status,
            number: self.authorization_number,
            reason: self.reason,
            next_call: if self.needs_call { NextCall::AsStored } else { NextCall::None },
            row: Row::AsStored,
        })
    }
}

impl NextCall {
    fn pause_ms(self) -> Option<i64> {
        match self {
            NextCall::None | NextCall::AsStored => None,
            NextCall::In(pause) => Some(ms(pause)),
        }
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Status {
    pub(crate) const ALL: [Status; 5] =
        [Status::Pending, Status::Authorized, Status::Declined, Status::Captured, Status::Voided];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Authorized => "authorized",
            Status::Declined => "declined",
            Status::Captured => "captured",
            Status::Voided => "voided",
        }
    }

    pub(crate) fn from_label(label: &str) -> sqlx::Result<Self> {
        let unknown = || sqlx::Error::Decode(format!("payment.status is `{label}`").into());
        Status::ALL.into_iter().find(|status| status.label() == label).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests;
