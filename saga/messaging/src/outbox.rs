//! A transaction and what it has to say: both are committed, or neither.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use saga_contract::Event;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_as};

use crate::{
    Error, Message, Record,
    message::{Headers, Stored},
};

/// What a message may weigh in bytes, with key and headers. Kafka's own default limit is a little
/// above. It is checked here, where the writer can still be told, and not in the relay, where a
/// message that is too large would block its lane.
pub const MESSAGE_LIMIT: usize = 900_000;
/// What a dead letter may weigh: more than whatever fits into the topic that it comes from. And what
/// of it key and headers may.
pub(crate) const DEAD_LETTER_LIMIT: usize = 1_900_000;
const DEAD_LETTER_KEY_LIMIT: usize = 100_000;
const DEAD_LETTER_HEADERS_LIMIT: usize = 1_000_000;
/// What the broker and the producer take: still more, for what the protocol adds.
pub(crate) const RECORD_LIMIT: &str = "2097152";

/// A database transaction with an outbox. Derefs to the connection.
///
/// Under load it is begun with the end of the one before, so `now()` may be some hundredths of a second
/// old; `statement_timestamp()` is the present.
pub struct Tx<'c> {
    connection: &'c mut PgConnection,
    source: &'c str,
    outgoing: Outgoing,
}

/// What a transaction has to say.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) rows: Vec<Row>,
    /// Full name and business key of events that need not be announced again.
    decided: Vec<(String, String)>,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.decided.is_empty()
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c mut PgConnection, source: &'c str) -> Self {
        Tx { connection, source, outgoing: Outgoing::default() }
    }

    /// The process that writes, as it stands in the headers.
    pub fn source(&self) -> &'c str {
        self.source
    }

    /// Tells all, under the business key that the fact is about.
    pub fn publish<E: Event>(&mut self, key: &str, event: &E) -> Result<(), Error> {
        let message = Message::event(self.source, key, event);
        self.send(message)
    }

    /// As [`Tx::publish`], of what others decide, such as the event that begins a saga: it is kept
    /// and announced again, by [`Messaging::announcing`](crate::Messaging::announcing), until it is
    /// [`decided`](Tx::decided). Where one of its kind and key is undecided, that one stays.
    pub fn announce<E: Event>(&mut self, key: &str, event: &E) -> Result<(), Error> {
        let kind = E::full_name();
        let mut row = Row::of(Message::event(self.source, key, event))?;
        self.outgoing.decided.retain(|(of, under)| (of, &**under) != (&kind, key));
        row.undecided = Some(kind);
        self.outgoing.rows.push(row);
        Ok(())
    }

    /// Whoever announced the event under this key knows what became of it: it is not announced
    /// again.
    pub fn decided<E: Event>(&mut self, key: &str) {
        let kind = E::full_name();
        for row in &mut self.outgoing.rows {
            if row.undecided.as_deref() == Some(&*kind) && row.key == key.as_bytes() {
                row.undecided = None;
            }
        }
        self.outgoing.decided.push((kind, key.to_owned()));
    }

    /// Sends a message when, and only when, this transaction is committed.
    pub fn send(&mut self, message: Message) -> Result<(), Error> {
        self.outgoing.rows.push(Row::of(message)?);
        Ok(())
    }

    /// Sends a record on as it came, with one more header. Of a record that is far above the limits
    /// only the beginning is sent, without its headers when they alone are.
    pub(crate) fn send_on(
        &mut self,
        topic: String,
        record: &Record,
        header: (&str, &str),
    ) -> Result<(), Error> {
        let fit = record.headers.size() <= DEAD_LETTER_HEADERS_LIMIT;
        let mut headers = if fit { record.headers.clone() } else { Headers::default() };
        headers.add(header.0, header.1.as_bytes());
        let kept = json(&headers.iter().map(AsItCame::of).collect::<Vec<_>>())?;
        let (mut key, payload) = (record.key.clone(), record.payload.clone());
        key.truncate(DEAD_LETTER_KEY_LIMIT);
        let mut row = Row { topic, key, headers, kept, payload, undecided: None };
        let excess = row.size().saturating_sub(DEAD_LETTER_LIMIT);
        row.payload.truncate(row.payload.len().saturating_sub(excess));
        self.outgoing.rows.push(row);
        Ok(())
    }

    pub(crate) fn into_outgoing(self) -> Outgoing {
        self.outgoing
    }
}

impl Deref for Tx<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("outgoing", &self.outgoing.rows.len()).finish_non_exhaustive()
    }
}

/// A row of the outbox, ready for the broker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) topic: String,
    pub(crate) key: Vec<u8>,
    pub(crate) headers: Headers,
    /// What the table keeps of the headers, see [`Kept`].
    kept: String,
    pub(crate) payload: Vec<u8>,
    /// The event's full name, when it is kept until it is decided.
    undecided: Option<String>,
}

impl Row {
    fn of(message: Message) -> Result<Self, Error> {
        let headers = message.envelope.to_headers();
        let kept = json(&Stored::of(&message.envelope))?;
        let Message { topic, envelope, payload } = message;
        let key = envelope.key.into_bytes();
        let row = Row { topic, key, headers, kept, payload, undecided: None };
        let (size, limit) = (row.size(), MESSAGE_LIMIT);
        if size > limit {
            return Err(Error::TooLarge { topic: row.topic, kind: envelope.kind, size, limit });
        }
        Ok(row)
    }

    fn size(&self) -> usize {
        self.key.len() + self.payload.len() + self.headers.size()
    }
}

/// What the column `envelope` holds, as JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept<'a> {
    /// An object: a message of ours.
    Envelope(#[serde(borrow)] Box<Stored<'a>>),
    /// A list: the headers of a record that is sent on as it came.
    Headers(Vec<AsItCame>),
}

/// Name and value of a header.
#[derive(Serialize, Deserialize)]
struct AsItCame(String, Value);

/// Text as a JSON string, other bytes as a list of numbers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

impl AsItCame {
    fn of((name, value): (&str, &[u8])) -> Self {
        let text = std::str::from_utf8(value).map(|text| Value::Text(text.to_owned()));
        AsItCame(name.to_owned(), text.unwrap_or_else(|_| Value::Bytes(value.to_owned())))
    }
}

impl Kept<'_> {
    /// Says what is wrong when it cannot be read.
    fn into_headers(self, source: &str, key: &[u8]) -> Result<Headers, String> {
        match self {
            Kept::Envelope(stored) => {
                let envelope = stored.into_envelope(source, &String::from_utf8_lossy(key))?;
                Ok(envelope.to_headers())
            }
            Kept::Headers(list) => {
                let mut headers = Headers::default();
                for AsItCame(name, value) in &list {
                    match value {
                        Value::Text(text) => headers.add(name, text.as_bytes()),
                        Value::Bytes(bytes) => headers.add(name, bytes),
                    }
                }
                Ok(headers)
            }
        }
    }
}

/// Since when a lane is owned, and how far its rows are published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ownership {
    pub(crate) epoch: i64,
    pub(crate) published_seq: i64,
}

/// With its rows a lane counts them and marks what is published.
macro_rules! write_rows {
    ($undecided:literal) => {
        concat!(
            "WITH owned AS (
                UPDATE outbox_lane
                SET last_seq = $3 + cardinality($5::text[]) - 1,
                    published_seq = greatest(published_seq, $4)
                WHERE lane = $1 AND epoch = $2
                RETURNING lane
            )",
            $undecided,
            "INSERT INTO outbox (lane, seq, topic, key, envelope, payload)
            SELECT lane, generate_series($3, $3 + cardinality($5::text[]) - 1),
                unnest($5::text[]), unnest($6::bytea[]), unnest($7::text[]), unnest($8::bytea[])
            FROM owned"
        )
    };
}

const WRITE: &str = write_rows!("");

/// Where something is announced or decided, too: one statement for all of it.
const WRITE_WITH_UNDECIDED: &str = write_rows!(
    ", announced AS (
        INSERT INTO outbox_undecided (kind, key, topic, payload)
        SELECT kind, convert_from(key, 'UTF8'), topic, payload
        FROM (
            SELECT unnest($5::text[]) AS topic, unnest($6::bytea[]) AS key,
                unnest($8::bytea[]) AS payload, unnest($9::text[]) AS kind
        ) AS row
        WHERE kind IS NOT NULL
        ON CONFLICT DO NOTHING
    ), decided AS (
        DELETE FROM outbox_undecided AS undecided
        USING (SELECT unnest($10::text[]) AS kind, unnest($11::text[]) AS key) AS decided
        WHERE undecided.kind = decided.kind AND undecided.key = decided.key
    ) "
);

/// Writes rows and, in the same statement, what is undecided with them, and what is not any more.
/// Fails when the lane has a new owner.
pub(crate) async fn write(
    connection: &mut PgConnection,
    lane: &str,
    owner: Ownership,
    first_seq: i64,
    Outgoing { rows, decided }: &Outgoing,
) -> Result<(), Error> {
    let topics: Vec<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
    let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_slice()).collect();
    let envelopes: Vec<&str> = rows.iter().map(|row| row.kept.as_str()).collect();
    let payloads: Vec<&[u8]> = rows.iter().map(|row| row.payload.as_slice()).collect();
    let undecided: Vec<Option<&str>> = rows.iter().map(|row| row.undecided.as_deref()).collect();
    let has_undecided = !decided.is_empty() || undecided.iter().any(Option::is_some);
    let mut write = query(if has_undecided { WRITE_WITH_UNDECIDED } else { WRITE })
        .bind(lane)
        .bind(owner.epoch)
        .bind(first_seq)
        .bind(owner.published_seq)
        .bind(&topics)
        .bind(&keys)
        .bind(&envelopes)
        .bind(&payloads);
    if has_undecided {
        let (kinds, keys): (Vec<&str>, Vec<&str>) =
            decided.iter().map(|(kind, key)| (kind.as_str(), key.as_str())).unzip();
        write = write.bind(undecided).bind(kinds).bind(keys);
    }
    let written = write.execute(connection).await?;
    if written.rows_affected() == rows.len() as u64 { Ok(()) } else { Err(fenced(lane)) }
}

/// Marks what is published. Fails when the lane has a new owner.
pub(crate) async fn mark(
    connection: &mut PgConnection,
    lane: &str,
    owner: Ownership,
) -> Result<(), Error> {
    let marked = query(
        "UPDATE outbox_lane SET published_seq = greatest(published_seq, $3)
         WHERE lane = $1 AND epoch = $2",
    )
    .bind(lane)
    .bind(owner.epoch)
    .bind(owner.published_seq)
    .execute(connection)
    .await?;
    if marked.rows_affected() == 1 { Ok(()) } else { Err(fenced(lane)) }
}

/// The rows after `seq`, in order, at most `limit`; and the number of the last one.
pub(crate) async fn read_after(
    connection: &mut PgConnection,
    lane: &str,
    source: &str,
    seq: i64,
    limit: i64,
) -> Result<Option<(i64, Vec<Row>)>, Error> {
    type Columns = (i64, String, Vec<u8>, String, Vec<u8>);
    let stored: Vec<Columns> = query_as(
        "SELECT seq, topic, key, envelope, payload FROM outbox
         WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(lane)
    .bind(seq)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let Some((last_seq, ..)) = stored.last() else { return Ok(None) };
    let last_seq = *last_seq;
    let mut rows = Vec::with_capacity(stored.len());
    for (seq, topic, key, kept, payload) in stored {
        let headers = serde_json::from_str::<Kept<'_>>(&kept)
            .map_err(|error| error.to_string())
            .and_then(|kept| kept.into_headers(source, &key))
            .map_err(|why| Error::Other(format!("row {seq} of the lane {lane}: {why}")))?;
        rows.push(Row { topic, key, headers, kept, payload, undecided: None });
    }
    Ok(Some((last_seq, rows)))
}

fn fenced(lane: &str) -> Error {
    Error::Fenced { lane: lane.to_owned() }
}

fn json(kept: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(kept).map_err(|error| Error::Other(error.to_string()))
}

#[cfg(test)]
mod tests;
