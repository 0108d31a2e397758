//! What can go wrong with a transaction, and what that means for the messages in it.

use std::{future::Future, time::Duration};

use time::OffsetDateTime;

use crate::message::BadHeaders;

/// Why a transaction did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database said no")]
    Database(#[from] sqlx::Error),
    #[error("Postgres did not answer within {0:?}")]
    NoAnswer(Duration),
    #[error("another transaction changed the same row first")]
    Conflict,
    #[error("lane `{lane}` has a new owner")]
    Fenced { lane: String },
    #[error(
        "the group has let another member take the place of `{lane}`, or has forgotten it: {error}"
    )]
    Expelled { lane: String, error: rdkafka::error::RDKafkaErrorCode },
    #[error("the {kind} for {topic} has {size} bytes, {limit} are allowed")]
    TooLarge { topic: String, kind: String, size: usize, limit: usize },
    #[error("the handler panicked: {0}")]
    Panicked(String),
    #[error("Kafka said no")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error("{0}")]
    Topic(String),
    #[error("migrating the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("bad headers")]
    Headers(#[from] BadHeaders),
    #[error("{0}")]
    Other(String),
}

/// What to do about a batch whose transaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Lost a race: again at once, it will see what the other one wrote.
    Again,
    /// The surroundings are in trouble: again later, with growing pauses.
    Later,
    /// One of the messages is to blame: find it and set it aside.
    Culprit,
    /// Somebody else owns the lane now, or its place in the group.
    Stop,
}

impl Error {
    /// The one table that says what happens after a failure.
    pub fn verdict(&self) -> Verdict {
        match self {
            Error::Conflict => Verdict::Again,
            Error::Fenced { .. } | Error::Expelled { .. } => Verdict::Stop,
            Error::TooLarge { .. }
            | Error::Panicked(_)
            | Error::Headers(_)
            | Error::Other(_)
            | Error::Topic(_) => Verdict::Culprit,
            Error::Kafka(_) | Error::Migrate(_) | Error::NoAnswer(_) => Verdict::Later,
            Error::Database(error) => database_verdict(error),
        }
    }

    /// Whether the connection is of no use any more: nothing comes from it, or what it has prepared
    /// fits the tables no longer and would fail again.
    pub(crate) fn spoils_connection(&self) -> bool {
        match self {
            Error::NoAnswer(_) => true,
            Error::Database(sqlx::Error::Database(answer)) => {
                is_stale_statement(&answer.code().unwrap_or_default())
            }
            Error::Database(_)
            | Error::Conflict
            | Error::Fenced { .. }
            | Error::Expelled { .. }
            | Error::TooLarge { .. }
            | Error::Panicked(_)
            | Error::Kafka(_)
            | Error::Topic(_)
            | Error::Migrate(_)
            | Error::Headers(_)
            | Error::Other(_) => false,
        }
    }

    /// As [`Error::verdict`], when it was tried that often before.
    pub(crate) fn verdict_after(&self, tries: u32) -> Verdict {
        let verdict = self.verdict();
        if verdict == Verdict::Again && tries >= RACES_MAX { Verdict::Culprit } else { verdict }
    }
}

/// By SQLSTATE, see "PostgreSQL Error Codes" in the manual of Postgres.
fn database_verdict(error: &sqlx::Error) -> Verdict {
    if let sqlx::Error::Database(answer) = error {
        return code_verdict(&answer.code().unwrap_or_default());
    }
    // The row or the code is wrong: another try meets the same.
    let is_wrong = matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
    );
    if is_wrong { Verdict::Culprit } else { Verdict::Later }
}

fn code_verdict(code: &str) -> Verdict {
    match (code.get(..2).unwrap_or_default(), code) {
        // Serialization failure, deadlock, and a row that appeared between looking and writing.
        ("40", _) | (_, "23505") => Verdict::Again,
        // The handler went on after an error.
        (_, "25P02") => Verdict::Culprit,
        _ if is_stale_statement(code) => Verdict::Later,
        // Connection, read-only, password, database, resources, locks, operator, system, internal:
        // not about the data. Nor is a schema that is not there yet, or rights that are missing.
        ("08" | "25" | "28" | "3D" | "42" | "53" | "55" | "57" | "58" | "XX", _) => Verdict::Later,
        _ => Verdict::Culprit,
    }
}

/// A migration changed what the statement was prepared for, or the statement is gone.
fn is_stale_statement(code: &str) -> bool {
    matches!(code, "0A000" | "26000")
}

/// What takes longer is given up: the connection may hang without a word.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let done = tokio::time::timeout(patience, work).await;
    done.unwrap_or(Err(Error::NoAnswer(patience)))
}

/// How often a race may be lost in a row: more is no race.
const RACES_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after that many tries: doubled each time, and 25 per cent more or less, so that
/// lanes that failed together do not come back together.
pub(crate) fn pause_after(tries: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
    let spread = OffsetDateTime::now_utc().microsecond() % 512;
    pause * (768 + spread) / 1024
}

/// An error with all its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
