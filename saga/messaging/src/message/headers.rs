//! The headers of a record: an envelope in CloudEvents binary mode.

use std::str::FromStr;

use time::format_description::well_known::Rfc3339;

use super::{Envelope, Outcome, SagaContext, Trace};

/// Names and values in the order in which they come, in one piece of memory: every record has them,
/// and hardly anybody wants them one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    bytes: Vec<u8>,
    /// Where each name and its value end.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// Room for those that a message of ours has.
    pub(crate) fn with_room() -> Self {
        Headers { bytes: Vec::with_capacity(640), ends: Vec::with_capacity(18) }
    }

    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len()));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        begins.zip(&self.ends).filter_map(|(begin, (name_end, end))| {
            let name = std::str::from_utf8(self.bytes.get(begin..*name_end)?).ok()?;
            Some((name, self.bytes.get(*name_end..*end)?))
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Of names and values together, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
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

/// CloudEvents' own names start with `ce_`; W3C's travel without a prefix.
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

impl Envelope {
    /// In a fixed order.
    pub fn to_headers(&self) -> Headers {
        let mut headers = Headers::with_room();
        headers.add(SPEC_VERSION, b"1.0");
        headers.add(CONTENT_TYPE, b"application/protobuf");
        headers.add_text(ID, self.id.hyphenated());
        headers.add(KIND, self.kind.as_bytes());
        headers.add(SOURCE, self.source.as_bytes());
        if let Some(time) = self.written_at().and_then(|at| at.format(&Rfc3339).ok()) {
            headers.add(TIME, time.as_bytes());
        }
        headers.add(SUBJECT, self.key.as_bytes());
        headers.add_text(TRACEPARENT, self.trace);
        if let Some(cause) = self.causation_id {
            headers.add_text(CAUSATION_ID, cause.hyphenated());
        }
        if let Some(saga) = &self.saga {
            headers.add_text(SAGA_ID, saga.saga_id.hyphenated());
            headers.add(SAGA_DEFINITION, saga.definition.as_bytes());
            headers.add(SAGA_STEP, saga.step.as_bytes());
            headers.add(SAGA_DIRECTION, saga.direction.as_str().as_bytes());
            headers.add_text(SAGA_ATTEMPT, saga.attempt);
        }
        match &self.outcome {
            Some(Outcome::Succeeded) => headers.add(SAGA_OUTCOME, b"succeeded"),
            Some(Outcome::Refused(reason)) => headers.add_outcome("refused", reason),
            Some(Outcome::Parked(reason)) => headers.add_outcome("parked", reason),
            None => {}
        }
        if let Some(stopwatch) = self.stopwatch {
            headers.add_text(STOPWATCH, stopwatch);
        }
        headers
    }

    /// Reads the headers of a record with this key.
    pub fn from_headers(key: &str, headers: &Headers) -> Result<Self, BadHeaders> {
        let fields = Fields::read(headers);
        let saga = match fields.saga_id {
            None => None,
            Some(id) => Some(SagaContext {
                saga_id: parse(id, SAGA_ID)?,
                definition: text(fields.definition, SAGA_DEFINITION)?,
                step: text(fields.step, SAGA_STEP)?,
                direction: parse(required(fields.direction, SAGA_DIRECTION)?, SAGA_DIRECTION)?,
                attempt: attempt(required(fields.attempt, SAGA_ATTEMPT)?)?,
            }),
        };
        let outcome = match fields.outcome {
            None => None,
            Some("succeeded") => Some(Outcome::Succeeded),
            Some("refused") => Some(Outcome::Refused(text(fields.reason, SAGA_REASON)?)),
            Some("parked") => Some(Outcome::Parked(text(fields.reason, SAGA_REASON)?)),
            Some(other) => return Err(malformed(SAGA_OUTCOME, other)),
        };
        let id = parse(required(fields.id, ID)?, ID)?;
        // What only serves to look at does not make a message unreadable.
        let trace = fields.traceparent.and_then(|trace| trace.parse().ok());
        Ok(Envelope {
            id,
            kind: text(fields.kind, KIND)?,
            source: text(fields.source, SOURCE)?,
            key: key.to_owned(),
            trace: trace.unwrap_or_else(|| Trace::of(key, id)),
            causation_id: fields.causation_id.map(|id| parse(id, CAUSATION_ID)).transpose()?,
            saga,
            outcome,
            stopwatch: fields.stopwatch.and_then(|stopwatch| stopwatch.parse().ok()),
        })
    }
}

impl Headers {
    fn add_text(&mut self, name: &str, value: impl std::fmt::Display) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        // Writing to memory does not fail.
        std::io::Write::write_fmt(&mut self.bytes, format_args!("{value}")).ok();
        self.ends.push((name_end, self.bytes.len()));
    }

    fn add_outcome(&mut self, outcome: &str, reason: &str) {
        self.add(SAGA_OUTCOME, outcome.as_bytes());
        self.add(SAGA_REASON, reason.as_bytes());
    }
}

/// The headers that we know, as far as they are text. Of several with one name, the first.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    kind: Option<&'a str>,
    source: Option<&'a str>,
    traceparent: Option<&'a str>,
    causation_id: Option<&'a str>,
    saga_id: Option<&'a str>,
    definition: Option<&'a str>,
    step: Option<&'a str>,
    direction: Option<&'a str>,
    attempt: Option<&'a str>,
    outcome: Option<&'a str>,
    reason: Option<&'a str>,
    stopwatch: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(headers: &'a Headers) -> Self {
        let mut fields = Fields::default();
        for (name, value) in headers.iter() {
            let field = match name {
                ID => &mut fields.id,
                KIND => &mut fields.kind,
                SOURCE => &mut fields.source,
                TRACEPARENT => &mut fields.traceparent,
                CAUSATION_ID => &mut fields.causation_id,
                SAGA_ID => &mut fields.saga_id,
                SAGA_DEFINITION => &mut fields.definition,
                SAGA_STEP => &mut fields.step,
                SAGA_DIRECTION => &mut fields.direction,
                SAGA_ATTEMPT => &mut fields.attempt,
                SAGA_OUTCOME => &mut fields.outcome,
                SAGA_REASON => &mut fields.reason,
                STOPWATCH => &mut fields.stopwatch,
                _ => continue,
            };
            *field = field.or(std::str::from_utf8(value).ok());
        }
        fields
    }
}

fn required<'a>(value: Option<&'a str>, name: &'static str) -> Result<&'a str, BadHeaders> {
    value.ok_or(BadHeaders::Missing(name))
}

fn text(value: Option<&str>, name: &'static str) -> Result<String, BadHeaders> {
    required(value, name).map(str::to_owned)
}

fn parse<T: FromStr>(value: &str, name: &'static str) -> Result<T, BadHeaders> {
    value.parse().map_err(|_| malformed(name, value))
}

/// From 1 on, and as high as the database counts.
fn attempt(value: &str) -> Result<u32, BadHeaders> {
    let attempt: i32 = parse(value, SAGA_ATTEMPT)?;
    let positive = u32::try_from(attempt).ok().filter(|attempt| *attempt > 0);
    positive.ok_or_else(|| malformed(SAGA_ATTEMPT, value))
}

fn malformed(name: &'static str, value: &str) -> BadHeaders {
    BadHeaders::Malformed { name, value: value.to_owned() }
}
