//! What every API does with its reads and its times.

use prost_types::Timestamp;
use sqlx::types::time::OffsetDateTime;

use crate::Problem;

/// Runs database work in a task of its own: it is finished even when its caller goes away. A query
/// that is dropped half-way can leave its connection inside a transaction (sqlx#4393).
///
/// # Errors
/// What the work failed with; [`Problem::Internal`] when it panicked.
pub async fn spawned<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
{
    tokio::spawn(work).await.map_err(Problem::internal)?.map_err(Into::into)
}

/// As it travels.
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond().cast_signed() }
}

/// A point in time that somebody sent in this field.
///
/// # Errors
/// One that no calendar has.
pub fn time(field: &str, at: Timestamp) -> Result<OffsetDateTime, Problem> {
    let whole = OffsetDateTime::from_unix_timestamp(at.seconds).ok();
    let in_range = whole.filter(|at| (1..=9999).contains(&at.year()));
    in_range
        .zip(u32::try_from(at.nanos).ok())
        .and_then(|(whole, nanos)| whole.replace_nanosecond(nanos).ok())
        .ok_or_else(|| Problem::invalid(field, "must be a time from year 1 to 9999"))
}

#[cfg(test)]
mod tests;
