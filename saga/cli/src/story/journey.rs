//! The way of one command and its reply, as the journal tells it: asked, under way, waiting, at
//! work, answered.

use std::time::Duration;

use proto::saga::{Direction, GetSagaResponse, JournalEntry};

use crate::units;

/// One answered command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Journey {
    pub(crate) revision: u64,
    pub(crate) step: String,
    pub(crate) direction: Direction,
    /// From the coordinator's decision to ask to its taking the reply.
    pub(crate) round_trip: Duration,
    /// What the participant measured; none when it measured nothing.
    pub(crate) at_participant: Option<AtParticipant>,
}

/// What a participant's stopwatch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtParticipant {
    /// From taking the record to starting on it.
    pub(crate) waited: Duration,
    /// From starting on it to the end of its transaction.
    pub(crate) worked: Duration,
}

impl Journey {
    /// Between the two processes: outboxes, Kafka, and the batches on both sides.
    pub(crate) fn under_way(&self) -> Option<Duration> {
        let at = self.at_participant?;
        Some(self.round_trip.saturating_sub(at.waited + at.worked))
    }
}

/// Every answered command, in the order of the answers.
pub(crate) fn journeys(story: &GetSagaResponse) -> Vec<Journey> {
    let answers = story.journal.iter().filter(|entry| entry.happened == "answered");
    answers.filter_map(|answer| journey(answer, &story.journal)).collect()
}

fn journey(answer: &JournalEntry, journal: &[JournalEntry]) -> Option<Journey> {
    let attempt = attempt_name(answer);
    let asked = journal
        .iter()
        .take_while(|entry| entry.revision < answer.revision)
        .filter(|entry| entry.sent.contains(&attempt))
        .last()?;
    let stopwatch = answer.stopwatch.as_ref();
    let at_participant = stopwatch.and_then(|stopwatch| {
        let (received, started) = (stopwatch.received_at.as_ref(), stopwatch.started_at.as_ref());
        Some(AtParticipant {
            waited: units::between(received, started)?,
            worked: units::between(started, stopwatch.finished_at.as_ref())?,
        })
    });
    Some(Journey {
        revision: answer.revision,
        step: answer.step.clone(),
        direction: answer.direction(),
        round_trip: units::between(asked.happened_at.as_ref(), answer.happened_at.as_ref())?,
        at_participant,
    })
}

/// As the journal writes it in `sent`: `invoke reserve-stock #1`.
fn attempt_name(entry: &JournalEntry) -> String {
    let direction = match entry.direction() {
        Direction::Compensate => "compensate",
        Direction::Invoke | Direction::Unspecified => "invoke",
    };
    format!("{direction} {} #{}", entry.step, entry.attempt)
}
