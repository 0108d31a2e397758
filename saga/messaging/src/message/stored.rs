//! What the outbox keeps about a message of ours, as JSON: what its headers say and the rest of the
//! row does not. An outbox is written far more often than it is read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Envelope, Outcome, SagaContext, Trace};

#[derive(Serialize, Deserialize)]
pub(crate) struct Stored<'a> {
    id: Uuid,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Uuid>,
    /// Absent when it follows from the key and the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<Cow<'a, SagaContext>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'a, Outcome>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopwatch: Option<Cow<'a, str>>,
}

impl<'a> Stored<'a> {
    pub(crate) fn of(envelope: &'a Envelope) -> Self {
        let Envelope { id, kind, causation_id, trace, saga, outcome, stopwatch, .. } = envelope;
        let follows = expected_trace(&envelope.key, *id, *causation_id);
        Stored {
            id: *id,
            kind: kind.into(),
            cause: *causation_id,
            trace: (*trace != follows).then(|| trace.to_string().into()),
            saga: saga.as_ref().map(Cow::Borrowed),
            outcome: outcome.as_ref().map(Cow::Borrowed),
            stopwatch: stopwatch.map(|stopwatch| stopwatch.to_string().into()),
        }
    }

    pub(crate) fn into_envelope(self, source: &str, key: &str) -> Envelope {
        let trace = self.trace.and_then(|trace| trace.parse().ok());
        Envelope {
            id: self.id,
            kind: self.kind.into_owned(),
            source: source.to_owned(),
            key: key.to_owned(),
            trace: trace.unwrap_or_else(|| expected_trace(key, self.id, self.cause)),
            causation_id: self.cause,
            saga: self.saga.map(Cow::into_owned),
            outcome: self.outcome.map(Cow::into_owned),
            stopwatch: self.stopwatch.and_then(|stopwatch| stopwatch.parse().ok()),
        }
    }
}

fn expected_trace(key: &str, id: Uuid, cause: Option<Uuid>) -> Trace {
    let trace = Trace::of(key, id);
    cause.map_or(trace, |cause| trace.below(cause))
}
