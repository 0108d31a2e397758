//! The headers of a record: an envelope in CloudEvents binary mode.

use std::str::FromStr;

use time::format_description::well_known::Rfc3339;

use super::{Envelope, Trace, about::About};

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
        Headers { bytes: Vec::with_capacity(512), ends: Vec::with_capacity(10) }
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
    #[error("the header `saga` {0}")]
    Saga(String),
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
/// All of ours in one, as JSON: see [`About`].
const SAGA: &str = "saga";

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
        if let Some(about) = About::of(self) {
            headers.add_json(SAGA, &about);
        }
        headers
    }

    /// Reads the headers of a record with this key.
    pub fn from_headers(key: &str, headers: &Headers) -> Result<Self, BadHeaders> {
        let fields = Fields::read(headers);
        let id = parse(required(fields.id, ID)?, ID)?;
        // What only serves to look at does not make a message unreadable.
        let trace = fields.traceparent.and_then(|trace| trace.parse().ok());
        let envelope = Envelope {
            id,
            kind: required(fields.kind, KIND)?.to_owned(),
            source: required(fields.source, SOURCE)?.to_owned(),
            key: key.to_owned(),
            trace: trace.unwrap_or_else(|| Trace::of(key, id)),
            causation_id: None,
            saga: None,
            outcome: None,
            deadline: None,
            stopwatch: None,
        };
        match fields.saga {
            None => Ok(envelope),
            Some(said) => {
                let about: About<'_> = serde_json::from_str(said)
                    .map_err(|error| BadHeaders::Saga(format!("cannot be read: {error}")))?;
                about.tell(envelope).map_err(BadHeaders::Saga)
            }
        }
    }
}

impl Headers {
    fn add_text(&mut self, name: &str, value: impl std::fmt::Display) {
        self.add_with(name, |bytes| std::io::Write::write_fmt(bytes, format_args!("{value}")).ok());
    }

    fn add_json(&mut self, name: &str, value: &impl serde::Serialize) {
        self.add_with(name, |bytes| serde_json::to_writer(bytes, value).ok());
    }

    /// Writing to memory does not fail.
    fn add_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        write(&mut self.bytes);
        self.ends.push((name_end, self.bytes.len()));
    }
}

/// The headers that we know, as far as they are text. Of several with one name, the first.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    kind: Option<&'a str>,
    source: Option<&'a str>,
    traceparent: Option<&'a str>,
    saga: Option<&'a str>,
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
                SAGA => &mut fields.saga,
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

fn parse<T: FromStr>(value: &str, name: &'static str) -> Result<T, BadHeaders> {
    value.parse().map_err(|_| malformed(name, value))
}

fn malformed(name: &'static str, value: &str) -> BadHeaders {
    BadHeaders::Malformed { name, value: value.to_owned() }
}
