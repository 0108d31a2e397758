//! What a record says about itself: the envelope in its headers, in CloudEvents binary mode.
//! The value is the bare protobuf message.

use std::{borrow::Cow, fmt, str::FromStr};

use rdkafka::message::{Header, Headers};
use saga_contract::{Answer, Event};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::outbox::HeaderValue;

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
    pub written_at: OffsetDateTime,
    /// Business key: everything about one order is in one partition.
    pub key: String,
    pub trace: Trace,
    /// The message that caused this one.
    pub causation_id: Option<Uuid>,
    pub saga: Option<SagaContext>,
    /// Of a reply only.
    pub outcome: Option<Outcome>,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Invoke,
    Compensate,
}

/// What a reply says, beside its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// W3C trace context. The trace's id is the business key, so that one order is one trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    pub trace_id: u128,
    pub parent_id: u64,
}

/// Headers that do not say what they should.
#[derive(Debug, thiserror::Error)]
pub enum BadHeaders {
    #[error("the record has no header `{0}`")]
    Missing(&'static str),
    #[error("the header `{name}` cannot be `{value}`")]
    Malformed { name: &'static str, value: String },
    #[error("the name of a header is not UTF-8")]
    Name,
}

impl Message {
    /// A fact for everyone.
    pub fn event<E: Event>(source: &str, key: &str, event: &E) -> Self {
        Message {
            topic: E::TOPIC.to_owned(),
            envelope: Envelope::new(source, E::full_name(), key),
            payload: event.encode_to_vec(),
        }
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
        self.envelope.trace =
            Trace { trace_id: cause.trace.trace_id, parent_id: span_id(cause.id) };
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
            written_at: OffsetDateTime::now_utc(),
            key: key.to_owned(),
            trace: Trace::of(key, id),
            causation_id: None,
            saga: None,
            outcome: None,
            stopwatch: None,
        }
    }

    /// As name and value, in a fixed order.
    pub(crate) fn to_headers(&self) -> Vec<(Cow<'static, str>, HeaderValue)> {
        let mut headers = Vec::with_capacity(17);
        let mut add = |name: &'static str, value: Cow<'static, str>| {
            headers.push((Cow::Borrowed(name), HeaderValue::Text(value)));
        };
        add(SPEC_VERSION, "1.0".into());
        add(CONTENT_TYPE, "application/protobuf".into());
        let mut put = |name, value: String| add(name, value.into());
        put(ID, self.id.to_string());
        put(KIND, self.kind.clone());
        put(SOURCE, self.source.clone());
        put(TIME, rfc3339(self.written_at));
        put(SUBJECT, self.key.clone());
        put(TRACEPARENT, self.trace.to_string());
        if let Some(cause) = self.causation_id {
            put(CAUSATION_ID, cause.to_string());
        }
        if let Some(saga) = &self.saga {
            put(SAGA_ID, saga.saga_id.to_string());
            put(SAGA_DEFINITION, saga.definition.clone());
            put(SAGA_STEP, saga.step.clone());
            put(SAGA_DIRECTION, saga.direction.to_string());
            put(SAGA_ATTEMPT, saga.attempt.to_string());
        }
        match &self.outcome {
            Some(Outcome::Succeeded) => put(SAGA_OUTCOME, "succeeded".to_owned()),
            Some(Outcome::Refused(reason)) => {
                put(SAGA_OUTCOME, "refused".to_owned());
                put(SAGA_REASON, reason.clone());
            }
            Some(Outcome::Parked(reason)) => {
                put(SAGA_OUTCOME, "parked".to_owned());
                put(SAGA_REASON, reason.clone());
            }
            None => {}
        }
        if let Some(stopwatch) = &self.stopwatch {
            put(STOPWATCH, stopwatch.to_string());
        }
        headers
    }

    /// Reads the headers of a record with this key.
    pub fn from_headers<H: Headers>(key: &str, headers: &H) -> Result<Self, BadHeaders> {
        let fields = Fields::read(headers);
        let saga = match fields.get(SAGA_ID) {
            None => None,
            Some(_) => Some(SagaContext {
                saga_id: fields.parse(SAGA_ID)?,
                definition: fields.text(SAGA_DEFINITION)?,
                step: fields.text(SAGA_STEP)?,
                direction: fields.parse(SAGA_DIRECTION)?,
                attempt: fields.attempt()?,
            }),
        };
        let outcome = match fields.get(SAGA_OUTCOME) {
            None => None,
            Some("succeeded") => Some(Outcome::Succeeded),
            Some("refused") => Some(Outcome::Refused(fields.text(SAGA_REASON)?)),
            Some("parked") => Some(Outcome::Parked(fields.text(SAGA_REASON)?)),
            Some(other) => return Err(malformed(SAGA_OUTCOME, other)),
        };
        let time = fields.text(TIME)?;
        let id = fields.parse(ID)?;
        // What only serves to look at does not make a message unreadable.
        let trace = Trace::of(key, id);
        Ok(Envelope {
            id,
            kind: fields.text(KIND)?,
            source: fields.text(SOURCE)?,
            written_at: OffsetDateTime::parse(&time, &Rfc3339)
                .map_err(|_| malformed(TIME, &time))?,
            key: key.to_owned(),
            trace: fields.get(TRACEPARENT).and_then(|text| text.parse().ok()).unwrap_or(trace),
            causation_id: fields.optional(CAUSATION_ID)?,
            saga,
            outcome,
            stopwatch: fields.get(STOPWATCH).and_then(|text| text.parse().ok()),
        })
    }
}

/// Header names. CloudEvents' own start with `ce_`; W3C's travel without a prefix.
const SPEC_VERSION: &str = "ce_specversion";
const ID: &str = "ce_id";
const KIND: &str = "ce_type";
const SOURCE: &str = "ce_source";
const TIME: &str = "ce_time";
const SUBJECT: &str = "ce_subject";
const CONTENT_TYPE: &str = "content-type";
const TRACEPARENT: &str = "traceparent";
const CAUSATION_ID: &str = "saga_causation_id";
const SAGA_ID: &str = "saga_id";
const SAGA_DEFINITION: &str = "saga_definition";
const SAGA_STEP: &str = "saga_step";
const SAGA_DIRECTION: &str = "saga_direction";
const SAGA_ATTEMPT: &str = "saga_attempt";
const SAGA_OUTCOME: &str = "saga_outcome";
const SAGA_REASON: &str = "saga_reason";
const STOPWATCH: &str = "saga_stopwatch";

/// Those headers that are text.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn read<H: Headers>(headers: &'a H) -> Self {
        let text = |header: Header<'a, &'a [u8]>| {
            Some((header.key, std::str::from_utf8(header.value?).ok()?))
        };
        Fields(headers.iter().filter_map(text).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &'static str) -> Result<String, BadHeaders> {
        self.get(name).map(str::to_owned).ok_or(BadHeaders::Missing(name))
    }

    fn parse<T: FromStr>(&self, name: &'static str) -> Result<T, BadHeaders> {
        let value = self.get(name).ok_or(BadHeaders::Missing(name))?;
        value.parse().map_err(|_| malformed(name, value))
    }

    /// From 1 on, and as high as the database counts.
    fn attempt(&self) -> Result<u32, BadHeaders> {
        let attempt: i32 = self.parse(SAGA_ATTEMPT)?;
        let positive = u32::try_from(attempt).ok().filter(|attempt| *attempt > 0);
        positive.ok_or_else(|| malformed(SAGA_ATTEMPT, &attempt.to_string()))
    }

    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, BadHeaders> {
        self.get(name).map(|_| self.parse(name)).transpose()
    }
}

fn malformed(name: &'static str, value: &str) -> BadHeaders {
    BadHeaders::Malformed { name, value: value.to_owned() }
}

/// The span in which a message is handled: known to whoever knows the message.
pub fn span_id(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn micros(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000
}

impl Trace {
    fn of(key: &str, message_id: Uuid) -> Self {
        let trace_id = Uuid::parse_str(key).unwrap_or(message_id);
        Trace { trace_id: trace_id.as_u128(), parent_id: span_id(trace_id) }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace_id, self.parent_id)
    }
}

impl FromStr for Trace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('-').collect();
        let [_version, trace, parent, _flags, ..] = parts.as_slice() else { return Err(()) };
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if (trace.len(), parent.len()) != (32, 16) || !is_hex(trace) || !is_hex(parent) {
            return Err(());
        }
        Ok(Trace {
            trace_id: u128::from_str_radix(trace, 16).map_err(|_| ())?,
            parent_id: u64::from_str_radix(parent, 16).map_err(|_| ())?,
        })
    }
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
