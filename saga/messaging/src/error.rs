//! What can go wrong with a transaction, and what that means for the messages in it.

use crate::message::BadHeaders;

/// Why a transaction did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database said no")]
    Database(#[from] sqlx::Error),
    #[error("another transaction changed the same row first")]
    Conflict,
    #[error("lane `{lane}` has a new owner")]
    Fenced { lane: String },
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
    /// Somebody else owns the lane now.
    Stop,
}

impl Error {
    /// The one table that says what happens after a failure.
    pub fn verdict(&self) -> Verdict {
        match self {
            Error::Conflict => Verdict::Again,
            Error::Fenced { .. } => Verdict::Stop,
            Error::TooLarge { .. }
            | Error::Panicked(_)
            | Error::Headers(_)
            | Error::Other(_)
            | Error::Topic(_) => Verdict::Culprit,
            Error::Kafka(_) | Error::Migrate(_) => Verdict::Later,
            Error::Database(error) => database_verdict(error),
        }
    }
}

/// By SQLSTATE, see "PostgreSQL Error Codes" in the manual of Postgres.
fn database_verdict(error: &sqlx::Error) -> Verdict {
    let sqlx::Error::Database(answer) = error else {
        return match error {
            // The row or the code is wrong: another try meets the same.
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. } => Verdict::Culprit,
            _ => Verdict::Later,
        };
    };
    let code = answer.code().unwrap_or_default();
    match (code.get(..2).unwrap_or_default(), code.as_ref()) {
        // Serialization failure, deadlock, and a row that appeared between looking and writing.
        ("40", _) | (_, "23505") => Verdict::Again,
        // Connection, resources, locks, operator, system, internal: not about the data.
        ("08" | "53" | "55" | "57" | "58" | "XX", _) => Verdict::Later,
        _ => Verdict::Culprit,
    }
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

#[cfg(test)]
mod tests;
