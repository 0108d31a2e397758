//! What a record says about itself: the envelope in its headers, in CloudEvents binary mode.
//! The value is the bare protobuf message.

mod about;
mod headers;
mod stored;
mod trace;

use std::{fmt, str::FromStr};

use saga_contract::{Answer, Event};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::stored::Stored;
pub use self::{
    headers::{BadHeaders, Headers},
    trace::{Trace, span_id},
};

/// A record that is to be published. It leaves through a transaction's outbox and in no other way.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub topic: String,
    pub envelope: Envelope,
    pub payload: Vec<u8>,
}

/// The headers of a record, and its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Version 7: sorts by time. Identifies the message wherever it is delivered.
    pub id: Uuid,
    /// Full name of the protobuf message.
    pub kind: String,
    /// The process that wrote it.
    pub source: String,
    /// Business key: everything about one order is in one partition.
    pub key: String,
    pub trace: Trace,
    /// The message that caused this one.
    pub causation_id: Option<Uuid>,
    pub saga: Option<SagaContext>,
    /// Of a reply only.
    pub outcome: Option<Outcome>,
    /// Of a command only: when whoever asks gives up waiting for the answer.
    pub deadline: Option<OffsetDateTime>,
    /// Of a reply only.
    pub stopwatch: Option<Stopwatch>,
}

/// Which asking of which step a command is, and a reply answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaContext {
    pub saga_id: Uuid,
    /// Name of the definition, for instance `place-order`.
    pub definition: String,
    pub step: String,
    /// `invoke` or `compensate`.
    pub direction: Direction,
    /// Starts at 1.
    pub attempt: u32,
    /// Of the step that the saga began with. Nobody was asked for it, so the command that undoes it is
    /// not one that came before what it undoes.
    pub is_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Invoke,
    Compensate,
}

/// What a reply says, beside its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Succeeded,
    /// With the reason.
    Refused(String),
    /// The participant cannot read or handle the command; with the reason. A person must look.
    Parked(String),
}

/// When a handler received, began and finished a message, by its own clock: for timelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopwatch {
    pub received_at: OffsetDateTime,
    pub started_at: OffsetDateTime,
    pub finished_at: OffsetDateTime,
}

impl Message {
    /// A fact for everyone.
    pub fn event<E: Event>(source: &str, key: &str, event: &E) -> Self {
        Message::told(source, key, E::TOPIC.to_owned(), E::full_name(), event.encode_to_vec())
    }

    /// The same of an event that is encoded already.
    pub(crate) fn told(
        source: &str,
        key: &str,
        topic: String,
        kind: String,
        payload: Vec<u8>,
    ) -> Self {
        Message { topic, envelope: Envelope::new(source, kind, key), payload }
    }

    /// A request to one participant. `payload` is the encoded command called `kind`.
    pub fn command(
        source: &str,
        key: &str,
        topic: String,
        kind: String,
        payload: Vec<u8>,
        saga: SagaContext,
    ) -> Self {
        let envelope = Envelope { saga: Some(saga), ..Envelope::new(source, kind, key) };
        Message { topic, envelope, payload }
    }

    /// What a participant answers; nothing when the answer is deferred.
    pub fn reply(source: &str, key: &str, saga: SagaContext, answer: Answer) -> Option<Self> {
        let (kind, payload, outcome) = match answer {
            Answer::Succeeded { name, payload } => (name, payload, Outcome::Succeeded),
            Answer::Refused(reason) => (String::new(), Vec::new(), Outcome::Refused(reason)),
            Answer::Deferred => return None,
        };
        Some(Message::reply_with(source, key, saga, kind, payload, outcome))
    }

    /// Says that the command cannot be handled.
    pub fn parked(source: &str, key: &str, saga: SagaContext, reason: String) -> Self {
        let outcome = Outcome::Parked(reason);
        Message::reply_with(source, key, saga, String::new(), Vec::new(), outcome)
    }

    fn reply_with(
        source: &str,
        key: &str,
        saga: SagaContext,
        kind: String,
        payload: Vec<u8>,
        outcome: Outcome,
    ) -> Self {
        let envelope = Envelope {
            saga: Some(saga),
            outcome: Some(outcome),
            ..Envelope::new(source, kind, key)
        };
        Message { topic: REPLIES.to_owned(), envelope, payload }
    }

    /// Remembers which message caused this one, and continues its trace.
    pub fn caused_by(mut self, cause: &Envelope) -> Self {
        self.envelope.causation_id = Some(cause.id);
        self.envelope.trace = cause.trace.below(cause.id);
        self
    }
}

/// Where participants answer.
pub const REPLIES: &str = "saga.replies.v1";

impl Envelope {
    fn new(source: &str, kind: String, key: &str) -> Self {
        let id = Uuid::now_v7();
        Envelope {
            id,
            kind,
            source: source.to_owned(),
            key: key.to_owned(),
            trace: Trace::of(key, id),
            causation_id: None,
            saga: None,
            outcome: None,
            deadline: None,
            stopwatch: None,
        }
    }

    /// To the millisecond, as the id tells it; nothing when a foreign id does not.
    pub fn written_at(&self) -> Option<OffsetDateTime> {
        time_in(self.id)
    }
}

/// The time in an id of version 7.
pub fn time_in(id: Uuid) -> Option<OffsetDateTime> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let at = OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()?;
    Some(at + time::Duration::nanoseconds(nanos.into()))
}

/// No id that is made at this time or later, to the millisecond, sorts before this one.
pub fn first_id_at(at: OffsetDateTime) -> Uuid {
    let millis = u128::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Invoke => "invoke",
            Direction::Compensate => "compensate",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Direction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "invoke" => Ok(Direction::Invoke),
            "compensate" => Ok(Direction::Compensate),
            _ => Err(()),
        }
    }
}

/// Microseconds since 1970, separated by commas.
impl fmt::Display for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stopwatch { received_at, started_at, finished_at } = self;
        write!(f, "{},{},{}", micros(*received_at), micros(*started_at), micros(*finished_at))
    }
}

impl FromStr for Stopwatch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut times = text.split(',').map(|micros| {
            let nanos = micros.parse::<i128>().map_err(|_| ())?.checked_mul(1_000).ok_or(())?;
            OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| ())
        });
        let mut next = || times.next().ok_or(())?;
        Ok(Stopwatch { received_at: next()?, started_at: next()?, finished_at: next()? })
    }
}

#[cfg(test)]
mod tests;
