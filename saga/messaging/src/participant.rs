//! Who answers commands: loads what a batch is about, decides command by command, saves once. The
//! barrier, the replies and the dead letters are this module's business, not the participant's.

use std::{collections::HashMap, future::Future, time::Duration};

use saga_contract::{Answer, Command, CommandSet, Decision};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Error, Handler, Message, Record, SagaContext, Stopwatch, Tx,
    barrier::{self, Admission, Call, Held},
    dead_letter,
    inbox::{self, Changed},
    message::{Direction, Envelope},
};

/// A service that answers commands.
pub trait Participant: Send + 'static {
    /// Every command it answers; generated from its `service …Commands`.
    type Command: CommandSet;
    /// What it decides upon: the aggregates that a batch is about.
    type State;

    /// Loads, and locks in sorted order, what these commands are about.
    fn load(
        &mut self,
        tx: &mut Tx<'_>,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<Self::State, Error>>;

    /// Decides about one command, purely: `command.decide(state)`.
    fn decide(state: &mut Self::State, command: Self::Command) -> Answer;

    /// Writes what has changed, and publishes what all should know.
    fn save(
        &mut self,
        tx: &mut Tx<'_>,
        state: Self::State,
    ) -> impl Future<Output = Result<(), Error>>;

    /// The last transaction was committed, or, with `false`, rolled back.
    fn ended(&mut self, _committed: bool) {}
}

/// Gives the answer that was deferred to the command `C` under a business key. Tells whether
/// somebody still waits for it: not when the command was undone meanwhile.
pub async fn answer<C: Command>(
    tx: &mut Tx<'_>,
    key: &str,
    decision: Decision<C::Reply>,
) -> Result<bool, Error> {
    let answer = Answer::from(decision);
    let waiting = inbox::deferred(tx, key, &C::full_name()).await?;
    let mut changed = Vec::with_capacity(waiting.len());
    for (saga, call, held) in waiting {
        let now = barrier::after(call, held.attempt, &answer);
        let row = inbox::Row { key: key.to_owned(), command: C::full_name(), saga: saga.clone() };
        changed.push(Changed { row, was: Some(held), now });
        let reply = Message::reply(tx.source(), key, saga, answer.clone());
        reply.into_iter().try_for_each(|reply| tx.send(reply))?;
    }
    inbox::save(tx, &changed).await?;
    Ok(!changed.is_empty())
}

/// A participant behind its barrier.
pub(crate) struct Commands<P> {
    participant: P,
    horizon: Duration,
}

/// Whose command it is; the commands themselves stand beside them, so that they can be handed on as
/// a slice.
struct Asker<'a> {
    record: &'a Record,
    envelope: &'a Envelope,
    saga: &'a SagaContext,
}

/// A record whose command cannot be read, and why.
type Unreadable<'a> = (&'a Record, String);

impl<P: Participant> Commands<P> {
    pub(crate) fn new(participant: P, horizon: Duration) -> Self {
        Commands { participant, horizon }
    }

    fn read<'a>(&self, record: &'a Record) -> Result<(Asker<'a>, P::Command), String> {
        let envelope = record.envelope.as_ref().map_err(ToString::to_string)?;
        let Some(saga) = &envelope.saga else {
            return Err("the command does not say which saga asks".to_owned());
        };
        inbox::within_horizon(saga.saga_id, self.horizon)?;
        match P::Command::decode(&envelope.kind, &record.payload) {
            Ok(command) => Ok((Asker { record, envelope, saga }, command)),
            Err(undecodable) => Err(undecodable.to_string()),
        }
    }

    /// `commands` are those of the records that could be read, in the order of `asked`.
    async fn run(
        &mut self,
        tx: &mut Tx<'_>,
        asked: Vec<Result<Asker<'_>, Unreadable<'_>>>,
        commands: Vec<P::Command>,
    ) -> Result<(), Error> {
        let started_at = OffsetDateTime::now_utc();
        let askers = || asked.iter().filter_map(|asked| asked.as_ref().ok());
        count_late(tx.source(), askers(), started_at);
        let stored = inbox::held(tx, askers().map(|asker| asker.saga.saga_id)).await?;
        let mut steps = Steps { stored: &stored, now: HashMap::new() };

        let mut state = self.participant.load(tx, &commands).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for (asker, command) in askers().zip(commands) {
            answers.push(Self::answer(&mut steps, &mut state, asker, command));
        }
        self.participant.save(tx, state).await?;
        inbox::save(tx, &steps.changed()).await?;

        let finished_at = OffsetDateTime::now_utc();
        let mut answers = answers.into_iter();
        // Also what cannot be read has its turn: the messages about one key keep their order.
        for asked in asked {
            let Asker { record, envelope, saga } = match asked {
                Ok(asker) => asker,
                Err((record, reason)) => {
                    dead_letter::set_aside(tx, record, &reason)?;
                    self.set_aside(tx, record, &reason).await?;
                    continue;
                }
            };
            let Some(answer) = answers.next() else { break };
            let reply = Message::reply(tx.source(), &envelope.key, saga.clone(), answer);
            if let Some(mut reply) = reply.map(|reply| reply.caused_by(envelope)) {
                let received_at = record.received_at;
                reply.envelope.stopwatch = Some(Stopwatch { received_at, started_at, finished_at });
                tx.send(reply)?;
            }
        }
        Ok(())
    }

    fn answer(
        steps: &mut Steps<'_>,
        state: &mut P::State,
        asker: &Asker<'_>,
        command: P::Command,
    ) -> Answer {
        let Asker { envelope, saga, .. } = asker;
        let call = call(saga, &command);
        let mut attempt = saga.attempt;
        let answer = match barrier::admit(steps.held(saga), call, attempt) {
            Admission::Answer(answer) => return answer,
            Admission::Wait => {
                // An older asking must not take the place of a newer one.
                attempt = attempt.max(steps.held(saga).map_or(0, |held| held.attempt));
                Answer::Deferred
            }
            Admission::NothingToUndo => command.done(),
            Admission::Run => P::decide(state, command),
        };
        steps.set(envelope, saga, barrier::after(call, attempt, &answer));
        answer
    }
}

impl<P: Participant> Handler for Commands<P> {
    async fn handle(&mut self, tx: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        let mut commands = Vec::with_capacity(batch.len());
        let read = |record| match self.read(record) {
            Ok((asker, command)) => {
                commands.push(command);
                Ok(asker)
            }
            Err(reason) => Err((record, reason)),
        };
        let asked = batch.iter().map(read).collect();
        self.run(tx, asked, commands).await
    }

    /// The saga must not wait for ever: a person has to look.
    async fn set_aside(
        &mut self,
        tx: &mut Tx<'_>,
        record: &Record,
        reason: &str,
    ) -> Result<(), Error> {
        let Ok(envelope) = &record.envelope else { return Ok(()) };
        let Some(saga) = &envelope.saga else { return Ok(()) };
        let reason = format!("{} set it aside: {reason}", tx.source());
        let parked = Message::parked(tx.source(), &envelope.key, saga.clone(), reason);
        tx.send(parked.caused_by(envelope))
    }

    fn ended(&mut self, committed: bool) {
        self.participant.ended(committed);
    }
}

/// How the steps of a batch stand: as stored, and as changed by the batch so far.
struct Steps<'a> {
    stored: &'a HashMap<(Uuid, String), Held>,
    now: HashMap<(Uuid, String), Changed>,
}

impl Steps<'_> {
    fn held(&self, saga: &SagaContext) -> Option<&Held> {
        let step = (saga.saga_id, saga.step.clone());
        self.now.get(&step).map(|changed| &changed.now).or_else(|| self.stored.get(&step))
    }

    fn set(&mut self, envelope: &Envelope, saga: &SagaContext, now: Held) {
        let step = (saga.saga_id, saga.step.clone());
        let was = self.stored.get(&step).cloned();
        let row = inbox::Row {
            key: envelope.key.clone(),
            command: envelope.kind.clone(),
            saga: saga.clone(),
        };
        self.now.insert(step, Changed { row, was, now });
    }

    fn changed(self) -> Vec<Changed> {
        self.now
            .into_values()
            .filter(|changed| changed.was.as_ref() != Some(&changed.now))
            .collect()
    }
}

/// Who asked has given up by now. The command has its effect all the same: its undo follows, and
/// finds something to undo.
fn count_late<'a>(
    source: &str,
    askers: impl Iterator<Item = &'a Asker<'a>>,
    started_at: OffsetDateTime,
) {
    let is_late = |asker: &&Asker<'_>| asker.envelope.deadline.is_some_and(|at| at < started_at);
    let late = askers.filter(is_late).count() as u64;
    if late > 0 {
        metrics::counter!("commands_late_total", "of" => source.to_owned()).increment(late);
    }
}

/// What undoes the step that the saga began with has no command to wait for: it is run like any other.
fn call(saga: &SagaContext, command: &impl CommandSet) -> Call {
    match saga.direction {
        Direction::Compensate if command.is_undo() && !saga.is_start => Call::Undo,
        Direction::Compensate | Direction::Invoke => Call::Invoke,
    }
}
