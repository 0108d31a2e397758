//! What the outbox keeps about a message of ours, as JSON: what its headers say and the rest of the
//! row does not. An outbox is written far more often than it is read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Envelope, Trace, about::About};

#[derive(Serialize, Deserialize)]
pub(crate) struct Stored<'a> {
    id: Uuid,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    /// Absent when it follows from the key and the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<About<'a>>,
}

impl<'a> Stored<'a> {
    pub(crate) fn of(envelope: &'a Envelope) -> Self {
        let Envelope { id, kind, key, causation_id, trace, .. } = envelope;
        let follows = Trace::expected(key, *id, *causation_id);
        Stored {
            id: *id,
            kind: kind.into(),
            trace: (*trace != follows).then(|| trace.to_string().into()),
            saga: About::of(envelope),
        }
    }

    /// Says what is wrong when it cannot be read.
    pub(crate) fn into_envelope(self, source: &str, key: &str) -> Result<Envelope, String> {
        let Stored { id, kind, trace, saga } = self;
        let envelope = Envelope { id, ..Envelope::new(source, kind.into_owned(), key) };
        let envelope = match saga {
            None => envelope,
            Some(saga) => saga.tell(envelope)?,
        };
        let trace = trace.and_then(|trace| trace.parse().ok());
        let follows = || Trace::expected(key, id, envelope.causation_id);
        Ok(Envelope { trace: trace.unwrap_or_else(follows), ..envelope })
    }
}
