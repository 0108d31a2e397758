//! What a record says about its saga: the header `saga`, as JSON, and the same in the outbox.
//!
//! One header and not nine, because each costs the producer, the broker and the consumer: see decision
//! 0010.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Direction, Envelope, Outcome, SagaContext};

#[derive(Serialize, Deserialize)]
pub(crate) struct About<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(default, rename = "start", skip_serializing_if = "std::ops::Not::not")]
    is_start: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'a, Outcome>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Uuid>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopwatch: Option<Cow<'a, str>>,
}

impl<'a> About<'a> {
    /// Nothing when the message has no saga and no cause.
    pub(super) fn of(envelope: &'a Envelope) -> Option<Self> {
        let Envelope { saga, outcome, causation_id, deadline, stopwatch, .. } = envelope;
        if saga.is_none() && causation_id.is_none() && outcome.is_none() {
            return None;
        }
        let saga = saga.as_ref();
        Some(About {
            id: saga.map(|saga| saga.saga_id),
            definition: saga.map(|saga| saga.definition.as_str().into()),
            step: saga.map(|saga| saga.step.as_str().into()),
            direction: saga.map(|saga| saga.direction),
            attempt: saga.map(|saga| saga.attempt),
            is_start: saga.is_some_and(|saga| saga.is_start),
            outcome: outcome.as_ref().map(Cow::Borrowed),
            cause: *causation_id,
            deadline: *deadline,
            stopwatch: stopwatch.map(|stopwatch| stopwatch.to_string().into()),
        })
    }

    /// Adds it to what the other headers say; or says what is wrong with it.
    pub(super) fn tell(self, envelope: Envelope) -> Result<Envelope, String> {
        let saga = match self.id {
            None => None,
            Some(saga_id) => Some(SagaContext {
                saga_id,
                definition: required(self.definition, "definition")?.into_owned(),
                step: required(self.step, "step")?.into_owned(),
                direction: required(self.direction, "direction")?,
                attempt: numbered(required(self.attempt, "attempt")?)?,
                is_start: self.is_start,
            }),
        };
        Ok(Envelope {
            saga,
            outcome: self.outcome.map(Cow::into_owned),
            causation_id: self.cause,
            deadline: self.deadline,
            // What only serves to look at does not make a message unreadable.
            stopwatch: self.stopwatch.and_then(|stopwatch| stopwatch.parse().ok()),
            ..envelope
        })
    }
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("does not say its `{name}`"))
}

/// From 1 on, and as high as the database counts.
fn numbered(attempt: u32) -> Result<u32, String> {
    if (1..=i32::MAX.unsigned_abs()).contains(&attempt) {
        Ok(attempt)
    } else {
        Err(format!("cannot have the attempt {attempt}"))
    }
}
