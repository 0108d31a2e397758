//! Forgets sagas that ended long ago, with their journals. One that has not ended is never forgotten.

use std::time::Duration;

use messaging::message::first_id_at;
use sqlx::{PgPool, query_scalar};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often to look.
const ROUND: Duration = Duration::from_secs(60);
/// Sagas that are forgotten in one transaction.
const FORGET_LIMIT: i64 = 1_000;

/// Looks again and again, until the process stops.
pub(crate) async fn keep_forgetting(db: PgPool, keep: Duration, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let mut forgotten = 0;
        while !shutdown.is_cancelled() {
            match forget(&db, keep).await {
                Ok(count) => {
                    forgotten += count;
                    if count < FORGET_LIMIT {
                        break;
                    }
                }
                Err(error) => {
                    warn!(%error, "forgetting sagas that ended long ago");
                    break;
                }
            }
        }
        if forgotten > 0 {
            info!(forgotten, "forgot sagas that ended long ago");
            metrics::counter!("saga_forgotten_total").increment(forgotten.unsigned_abs());
        }
    }
}

/// Some of those that ended longer ago than `keep`; tells how many.
async fn forget(db: &PgPool, keep: Duration) -> sqlx::Result<i64> {
    // What ended then began before: ids sort by that.
    let end = OffsetDateTime::now_utc() - keep;
    query_scalar(
        "WITH gone AS (
            DELETE FROM saga WHERE id IN (
                -- What a person settled may still be told of: without its row it would begin anew.
                SELECT id FROM saga
                WHERE id < $1 AND ended_at < $2 AND status <> 'resolved'
                    AND NOT EXISTS (SELECT FROM saga_journal WHERE saga_id = id AND verb = 'skip')
                ORDER BY id LIMIT $3
            )
            RETURNING id
        ), lines AS (
            DELETE FROM saga_journal WHERE saga_id IN (SELECT id FROM gone)
        ), asked AS (
            DELETE FROM saga_intervention WHERE saga_id IN (SELECT id FROM gone)
        )
        SELECT count(*) FROM gone",
    )
    .bind(first_id_at(end))
    .bind(end)
    .bind(FORGET_LIMIT)
    .fetch_one(db)
    .await
}

#[cfg(test)]
mod tests;
