//! Journal entries as columns, and back: the journal of a saga, replayed, gives the saga again.

use saga_core::{Attempt, Deadline, Direction, Entry, Happened, Outcome, Verb};
use sqlx::FromRow;
use time::OffsetDateTime;

/// An entry as it is written.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    pub(crate) happened: &'static str,
    pub(crate) step: Option<&'a str>,
    pub(crate) direction: Option<&'static str>,
    pub(crate) attempt: Option<i32>,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) verb: Option<&'static str>,
    pub(crate) actor: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) sent: String,
}

/// An entry as it is read.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Stored {
    pub(crate) revision: i64,
    pub(crate) happened_at: OffsetDateTime,
    pub(crate) happened: String,
    pub(crate) step: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) attempt: Option<i32>,
    pub(crate) outcome: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) verb: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) sent: String,
    pub(crate) stopwatch: Option<String>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(entry: &'a Entry) -> Self {
        let sent: Vec<String> = entry.sent.iter().map(ToString::to_string).collect();
        let columns = Columns { sent: sent.join(","), ..Columns::default() };
        match &entry.happened {
            Happened::Started { event } => {
                Columns { happened: "started", payload: Some(event), ..columns }
            }
            Happened::Answered { attempt, outcome } => {
                let (outcome, payload, reason) = match outcome {
                    Outcome::Succeeded(reply) => ("succeeded", Some(reply.as_slice()), None),
                    Outcome::Refused(reason) => ("refused", None, Some(reason.as_str())),
                };
                Columns { happened: "answered", outcome: Some(outcome), payload, reason, ..columns }
                    .about(attempt)
            }
            Happened::TimedOut(Deadline::Saga) => Columns { happened: "timed-out", ..columns },
            Happened::TimedOut(Deadline::Step(attempt)) => {
                Columns { happened: "timed-out", ..columns }.about(attempt)
            }
            Happened::Parked { attempt, reason } => {
                let parked = Columns { happened: "parked", reason: Some(reason), ..columns };
                attempt.iter().fold(parked, Columns::about)
            }
            Happened::Intervened { verb, by, reason } => {
                let (verb, step, payload) = verb_columns(verb);
                Columns {
                    happened: "intervened",
                    verb: Some(verb),
                    step,
                    payload,
                    actor: Some(by),
                    reason: Some(reason),
                    ..columns
                }
            }
        }
    }

    fn about(self, attempt: &'a Attempt) -> Self {
        Columns {
            step: Some(&attempt.step),
            direction: Some(direction_name(attempt.direction)),
            attempt: Some(attempt.number.cast_signed()),
            ..self
        }
    }
}

fn verb_columns(verb: &Verb) -> (&'static str, Option<&str>, Option<&[u8]>) {
    match verb {
        Verb::Cancel => ("cancel", None, None),
        Verb::Pause => ("pause", None, None),
        Verb::Resume => ("resume", None, None),
        Verb::Retry => ("retry", None, None),
        Verb::Skip { step, reply } => ("skip", Some(step), Some(reply)),
        Verb::Resolve => ("resolve", None, None),
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Invoke => "invoke",
        Direction::Compensate => "compensate",
    }
}

impl Stored {
    /// What happened, for replaying; nothing when the row says something unknown.
    pub(crate) fn to_entry(&self) -> Option<Entry> {
        let reason = || self.reason.clone().unwrap_or_default();
        let payload = || self.payload.clone().unwrap_or_default();
        let happened = match self.happened.as_str() {
            "started" => Happened::Started { event: payload() },
            "answered" => Happened::Answered {
                attempt: self.attempt()?,
                outcome: match self.outcome.as_deref()? {
                    "succeeded" => Outcome::Succeeded(payload()),
                    "refused" => Outcome::Refused(reason()),
                    _ => return None,
                },
            },
            "timed-out" => {
                Happened::TimedOut(self.attempt().map_or(Deadline::Saga, Deadline::Step))
            }
            "parked" => Happened::Parked { attempt: self.attempt(), reason: reason() },
            "intervened" => Happened::Intervened {
                verb: self.verb()?,
                by: self.actor.clone().unwrap_or_default(),
                reason: reason(),
            },
            _ => return None,
        };
        Some(Entry { revision: self.revision.unsigned_abs(), happened, sent: Vec::new() })
    }

    fn attempt(&self) -> Option<Attempt> {
        let direction = match self.direction.as_deref()? {
            "invoke" => Direction::Invoke,
            "compensate" => Direction::Compensate,
            _ => return None,
        };
        let number = self.attempt?.unsigned_abs();
        Some(Attempt { step: self.step.clone()?, direction, number })
    }

    fn verb(&self) -> Option<Verb> {
        Some(match self.verb.as_deref()? {
            "cancel" => Verb::Cancel,
            "pause" => Verb::Pause,
            "resume" => Verb::Resume,
            "retry" => Verb::Retry,
            "skip" => Verb::Skip {
                step: self.step.clone()?,
                reply: self.payload.clone().unwrap_or_default(),
            },
            "resolve" => Verb::Resolve,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
