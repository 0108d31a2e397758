//! What cannot be handled: kept with its original key, bytes and headers, and the reason.

use serde::{Deserialize, Serialize};
use tracing::error;

use crate::{Error, Record, Tx};

/// Of a topic: where its dead letters are.
pub fn topic(of: &str) -> String {
    format!("{of}.dead")
}

/// The header that tells why; the other headers are the original ones.
pub const HEADER: &str = "dead_letter";

/// What the header says, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub reason: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// The service that could not handle it.
    pub set_aside_by: String,
}

/// In characters: the record itself needs the room.
const REASON_LIMIT: usize = 4_000;

/// Sends the record to the dead letters when the transaction is committed.
pub fn set_aside(tx: &mut Tx<'_>, record: &Record, reason: &str) -> Result<(), Error> {
    error!(
        messaging.destination.name = %record.topic,
        messaging.destination.partition.id = record.partition,
        messaging.kafka.offset = record.offset,
        reason,
        "message set aside as a dead letter"
    );
    metrics::counter!("dead_letters_total", "topic" => record.topic.to_string()).increment(1);
    let letter = DeadLetter {
        reason: reason.chars().take(REASON_LIMIT).collect(),
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        set_aside_by: tx.source().to_owned(),
    };
    let letter = serde_json::to_string(&letter).map_err(|error| Error::Other(error.to_string()))?;
    tx.send_on(topic(&record.topic), record, (HEADER, &letter))
}
