//! Hears events that begin sagas and answers that move them: a batch of them in one transaction.

use std::sync::Arc;

use messaging::{Envelope, Error, Handler, Record, SagaContext, Tx, dead_letter, message};
use saga_core::{Attempt, Direction, Happened, Outcome, Saga, Unmoved};
use tracing::debug;
use uuid::Uuid;

use crate::{
    movements::Moved,
    turns::{Rules, Source, Turns},
};

/// Handles records of the topics that sagas begin on, and of the replies.
#[derive(Debug)]
pub(crate) struct Intake {
    rules: Arc<Rules>,
    /// Told to watchers once the transaction is committed.
    moved: Vec<Moved>,
}

impl Intake {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Intake { rules, moved: Vec::new() }
    }
}

impl Handler for Intake {
    async fn handle(&mut self, tx: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        let mut answered: Vec<Uuid> = batch.iter().filter_map(saga_of).collect();
        answered.sort_unstable();
        answered.dedup();
        let mut turns = Turns::load(tx, &self.rules, &answered).await?;
        for record in batch {
            if let Err(reason) = hear(&self.rules, &mut turns, record) {
                dead_letter::set_aside(tx, record, &reason)?;
            }
        }
        self.moved = turns.save(tx).await?;
        Ok(())
    }

    /// Whoever waits for this answer would wait for ever: a person has to look.
    async fn set_aside(
        &mut self,
        tx: &mut Tx<'_>,
        record: &Record,
        reason: &str,
    ) -> Result<(), Error> {
        let Some(id) = saga_of(record) else { return Ok(()) };
        let mut turns = Turns::load(tx, &self.rules, &[id]).await?;
        let envelope = record.envelope.as_ref().ok();
        let attempt = envelope.and_then(|envelope| envelope.saga.as_ref()).map(attempt_of);
        let reason = format!("an answer was set aside: {reason}");
        let parked = Happened::Parked { attempt, reason };
        if let Err(unmoved) = turns.hear(id, parked, Source::default()) {
            debug!(saga.id = %id, %unmoved, "not parked");
        }
        self.moved = turns.save(tx).await?;
        Ok(())
    }

    fn ended(&mut self, committed: bool) {
        let moved = std::mem::take(&mut self.moved);
        if committed {
            self.rules.movements.tell(moved);
        }
    }
}

/// The saga that a reply is for.
fn saga_of(record: &Record) -> Option<Uuid> {
    let envelope = record.envelope.as_ref().ok()?;
    envelope.outcome.as_ref()?;
    envelope.saga.as_ref().map(|saga| saga.saga_id)
}

fn attempt_of(saga: &SagaContext) -> Attempt {
    Attempt {
        step: saga.step.clone(),
        direction: match saga.direction {
            message::Direction::Invoke => Direction::Invoke,
            message::Direction::Compensate => Direction::Compensate,
        },
        number: saga.attempt,
    }
}

/// `Err` says why the record is a dead letter.
fn hear(rules: &Rules, turns: &mut Turns<'_>, record: &Record) -> Result<(), String> {
    let envelope = record.envelope.as_ref().map_err(ToString::to_string)?;
    if *record.topic == *message::REPLIES {
        return hear_answer(rules, turns, record, envelope);
    }
    let source = Source { envelope: Some(envelope) };
    let begins: Vec<&Saga> = rules.registry.started_by(&envelope.kind).collect();
    for saga in begins {
        turns.begin(saga, &envelope.key, &record.payload, source).map_err(|unreadable| {
            format!("it should begin {}: {}", saga.version(), messaging::chain(&unreadable))
        })?;
    }
    Ok(())
}

fn hear_answer(
    rules: &Rules,
    turns: &mut Turns<'_>,
    record: &Record,
    envelope: &Envelope,
) -> Result<(), String> {
    let (Some(saga), Some(outcome)) = (&envelope.saga, &envelope.outcome) else {
        return Err("the reply does not say which command it answers, and how".to_owned());
    };
    let Some(instance) = turns.instance(saga.saga_id) else {
        return Err(format!("there is no saga {}", saga.saga_id));
    };
    let is_known = rules.registry.saga(&instance.version).is_some();
    let attempt = attempt_of(saga);
    let happened = match outcome {
        message::Outcome::Succeeded => {
            Happened::Answered { attempt, outcome: Outcome::Succeeded(record.payload.clone()) }
        }
        message::Outcome::Refused(reason) => {
            Happened::Answered { attempt, outcome: Outcome::Refused(reason.clone()) }
        }
        message::Outcome::Parked(reason) => {
            Happened::Parked { attempt: Some(attempt), reason: reason.clone() }
        }
    };
    if !is_known {
        // Builds of two versions may run side by side.
        turns.leave(saga.saga_id, happened);
        metrics::counter!("saga_answers_left_total", "definition" => saga.definition.clone())
            .increment(1);
        return Ok(());
    }
    match turns.hear(saga.saga_id, happened, Source { envelope: Some(envelope) }) {
        Ok(()) => Ok(()),
        // Late or twice: the saga has moved on.
        Err(Unmoved::AlreadyDealtWith) => {
            metrics::counter!("saga_answers_repeated_total", "step" => saga.step.clone())
                .increment(1);
            Ok(())
        }
        Err(Unmoved::NotAllowed(why)) => Err(why.to_owned()),
    }
}
