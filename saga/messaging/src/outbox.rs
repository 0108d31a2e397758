//! A transaction and what it has to say: both are committed, or neither.

use std::{
    borrow::Cow,
    fmt,
    ops::{Deref, DerefMut},
};

use prost::Name;
use saga_contract::Event;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_as, types::Json};

use crate::{Error, Message, Record};

/// What a message may weigh in bytes, with key and headers. Kafka's own default limit is a little
/// above. It is checked here, where the writer can still be told, and not in the relay, where a
/// message that is too large would block its lane.
pub const MESSAGE_LIMIT: usize = 900_000;
/// What a dead letter may weigh: more than whatever fits into the topic that it comes from.
pub(crate) const DEAD_LETTER_LIMIT: usize = 1_900_000;
/// What the broker and the producer take: still more, for what the protocol adds.
pub(crate) const RECORD_LIMIT: &str = "2097152";

/// A database transaction with an outbox. Derefs to the connection.
pub struct Tx<'c> {
    connection: &'c mut PgConnection,
    source: &'c str,
    outgoing: Vec<Row>,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c mut PgConnection, source: &'c str) -> Self {
        Tx { connection, source, outgoing: Vec::new() }
    }

    /// The process that writes, as it stands in the headers.
    pub fn source(&self) -> &'c str {
        self.source
    }

    /// Tells all, under the business key that the fact is about.
    pub fn publish<E: Event + Name>(&mut self, key: &str, event: &E) -> Result<(), Error> {
        let message = Message::event(self.source, key, event);
        self.send(message)
    }

    /// Sends a message when, and only when, this transaction is committed.
    pub fn send(&mut self, message: Message) -> Result<(), Error> {
        let headers = message.envelope.to_headers();
        let Message { topic, envelope, payload } = message;
        let row = Row { topic, key: envelope.key.into_bytes(), headers, payload };
        let (size, limit) = (row.size(), MESSAGE_LIMIT);
        if size > limit {
            return Err(Error::TooLarge { topic: row.topic, kind: envelope.kind, size, limit });
        }
        self.outgoing.push(row);
        Ok(())
    }

    /// Sends a record on as it came, with one more header. Of a record that is far above the limits
    /// only the beginning is sent.
    pub(crate) fn send_on(&mut self, topic: String, record: &Record, header: (&str, String)) {
        let as_it_came = |(name, value): (&str, &[u8])| {
            let text =
                std::str::from_utf8(value).map(|text| HeaderValue::Text(text.to_owned().into()));
            (name.to_owned().into(), text.unwrap_or_else(|_| HeaderValue::Bytes(value.to_owned())))
        };
        let mut headers: Vec<_> = record.raw_headers.iter().map(as_it_came).collect();
        headers.push((header.0.to_owned().into(), HeaderValue::Text(header.1.into())));
        let (key, payload) = (record.raw_key.clone(), record.payload.clone());
        let mut row = Row { topic, key, headers, payload };
        let excess = row.size().saturating_sub(DEAD_LETTER_LIMIT);
        row.payload.truncate(row.payload.len().saturating_sub(excess));
        self.outgoing.push(row);
    }

    pub(crate) fn into_outgoing(self) -> Vec<Row> {
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
        f.debug_struct("Tx").field("outgoing", &self.outgoing.len()).finish_non_exhaustive()
    }
}

/// A row of the outbox, ready for the broker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) topic: String,
    pub(crate) key: Vec<u8>,
    pub(crate) headers: Vec<(Cow<'static, str>, HeaderValue)>,
    pub(crate) payload: Vec<u8>,
}

impl Row {
    fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_bytes().len());
        self.key.len() + self.payload.len() + headers.sum::<usize>()
    }
}

/// Text as a JSON string. Other bytes come with foreign records only, on their way to the dead
/// letters, and are stored as a list of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum HeaderValue {
    Text(Cow<'static, str>),
    Bytes(Vec<u8>),
}

impl HeaderValue {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            HeaderValue::Text(text) => text.as_bytes(),
            HeaderValue::Bytes(bytes) => bytes,
        }
    }
}

/// Since when a lane is owned, and how far its rows are published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ownership {
    pub(crate) epoch: i64,
    pub(crate) published_seq: i64,
}

/// Writes rows and, in the same statement, counts them and marks what is published. Fails when the
/// lane has a new owner.
pub(crate) async fn write(
    connection: &mut PgConnection,
    lane: &str,
    owner: Ownership,
    first_seq: i64,
    rows: &[Row],
) -> Result<(), Error> {
    let topics: Vec<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
    let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_slice()).collect();
    let headers: Vec<String> = rows.iter().map(|row| json(&row.headers)).collect();
    let payloads: Vec<&[u8]> = rows.iter().map(|row| row.payload.as_slice()).collect();
    let written = query(
        "WITH owned AS (
            UPDATE outbox_lane
            SET last_seq = $3 + cardinality($5::text[]) - 1,
                published_seq = greatest(published_seq, $4)
            WHERE lane = $1 AND epoch = $2
            RETURNING lane
        )
        INSERT INTO outbox (lane, seq, topic, key, headers, payload)
        SELECT owned.lane, $3 + row.position - 1, row.topic, row.key, row.headers, row.payload
        FROM owned, unnest($5::text[], $6::bytea[], $7::text[], $8::bytea[])
            WITH ORDINALITY AS row (topic, key, headers, payload, position)",
    )
    .bind(lane)
    .bind(owner.epoch)
    .bind(first_seq)
    .bind(owner.published_seq)
    .bind(&topics)
    .bind(&keys)
    .bind(&headers)
    .bind(&payloads)
    .execute(connection)
    .await?;
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
    seq: i64,
    limit: i64,
) -> Result<Option<(i64, Vec<Row>)>, Error> {
    type Columns = (i64, String, Vec<u8>, Json<Vec<(Cow<'static, str>, HeaderValue)>>, Vec<u8>);
    let rows: Vec<Columns> = query_as(
        "SELECT seq, topic, key, headers::json, payload FROM outbox
         WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(lane)
    .bind(seq)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let Some((last_seq, ..)) = rows.last() else { return Ok(None) };
    let last_seq = *last_seq;
    let row = |(_, topic, key, Json(headers), payload)| Row { topic, key, headers, payload };
    Ok(Some((last_seq, rows.into_iter().map(row).collect())))
}

fn fenced(lane: &str) -> Error {
    Error::Fenced { lane: lane.to_owned() }
}

fn json(headers: &[(Cow<'static, str>, HeaderValue)]) -> String {
    serde_json::to_string(headers).unwrap_or_default()
}
