//! Sagas within one transaction: loaded, moved by what happened, and saved once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use messaging::{Envelope, Error, Message, SagaContext, Stopwatch, Tx};
use saga_core::{
    Attempt, Direction, Entry, Happened, Instance, Outgoing, Registry, Saga, Transition, Unmoved,
    Verb,
};
use time::OffsetDateTime;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::{
    movements::{Moved, Movements},
    store::{self, Line, Row},
};

/// What decides, and how patient to be: the same for all transactions of a process.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) registry: Arc<Registry>,
    /// For how long a saga is quiet before its outstanding commands are sent again.
    pub(crate) resend_after: Duration,
    /// For how long participants remember what they answered to a saga.
    pub(crate) inbox_horizon: Duration,
    /// Who watches is told after the commit.
    pub(crate) movements: Movements,
}

pub(crate) struct Turns<'a> {
    rules: &'a Rules,
    /// The database's clock at the beginning of the transaction.
    now: OffsetDateTime,
    rows: HashMap<Uuid, Row>,
    /// In the order in which they were first moved.
    moved: Vec<Uuid>,
    begun: Vec<Uuid>,
    journal: Vec<Line>,
    outgoing: Vec<(Uuid, Message)>,
    notable: Vec<(Uuid, Notable)>,
    /// Answers for a process that knows their sagas, and sagas whose answers of this kind are heard.
    left: BTreeMap<Uuid, Vec<Happened>>,
    heard_left: Vec<Uuid>,
}

/// Where something was heard from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Source<'a> {
    pub(crate) envelope: Option<&'a Envelope>,
}

impl Source<'_> {
    fn stopwatch(&self) -> Option<Stopwatch> {
        self.envelope.and_then(|envelope| envelope.stopwatch)
    }
}

impl<'a> Turns<'a> {
    /// Loads sagas by id. They are not locked: saving fails when one was moved meanwhile.
    pub(crate) async fn load(
        tx: &mut Tx<'_>,
        rules: &'a Rules,
        ids: &[Uuid],
    ) -> Result<Self, Error> {
        let (now, rows) = store::load(tx, ids).await?;
        Ok(Turns::of(rules, now, rows))
    }

    pub(crate) fn of(rules: &'a Rules, now: OffsetDateTime, rows: Vec<Row>) -> Self {
        Turns {
            rules,
            now,
            rows: rows.into_iter().map(|row| (row.id, row)).collect(),
            moved: Vec::new(),
            begun: Vec::new(),
            journal: Vec::new(),
            outgoing: Vec::new(),
            notable: Vec::new(),
            left: BTreeMap::new(),
            heard_left: Vec::new(),
        }
    }

    pub(crate) fn instance(&self, id: Uuid) -> Option<&Instance> {
        self.rows.get(&id).map(|row| &row.instance)
    }

    /// Begins a saga. Whether the same event began it before is seen when saving.
    pub(crate) fn begin(
        &mut self,
        saga: &Saga,
        key: &str,
        event: &[u8],
        source: Source<'_>,
    ) -> Result<(), saga_core::Unreadable> {
        let transition = saga.start(event)?;
        let id = Uuid::now_v7();
        let mut row = Row::new(id, key, transition.instance.clone(), self.now);
        row.touched = true;
        self.rows.insert(id, row);
        self.begun.push(id);
        self.take(id, transition, source);
        Ok(())
    }

    /// Moves a saga by what happened to it.
    pub(crate) fn hear(
        &mut self,
        id: Uuid,
        happened: Happened,
        source: Source<'_>,
    ) -> Result<(), Unmoved> {
        let Some(row) = self.rows.get(&id) else { return Err(Unmoved::AlreadyDealtWith) };
        let is_resolved = matches!(happened, Happened::Intervened { verb: Verb::Resolve, .. });
        let transition = self.rules.registry.next(&row.instance, happened)?;
        self.touch(id);
        self.take(id, transition, source);
        if is_resolved {
            self.say_last_word(id);
        }
        Ok(())
    }

    /// Answers that were left for us, then deadlines that have passed, then commands that nobody
    /// answered: sent again as they were.
    pub(crate) fn wake(&mut self, id: Uuid) {
        let now = self.now;
        self.touch(id);
        let Some(row) = self.rows.get_mut(&id) else { return };
        let answers = std::mem::take(&mut row.answers_left);
        if !answers.is_empty() {
            self.heard_left.push(id);
        }
        for answer in answers {
            if let Err(unmoved) = self.hear(id, answer, Source::default()) {
                debug!(saga.id = %id, %unmoved, "an answer that was left is without effect");
            }
        }
        let Some(row) = self.rows.get_mut(&id) else { return };
        for deadline in row.clock.take_due(now) {
            let timed_out = Happened::TimedOut(deadline);
            if let Err(unmoved) = self.hear(id, timed_out, Source::default()) {
                debug!(saga.id = %id, %unmoved, "deadline without effect");
            }
        }
        let Some(row) = self.rows.get_mut(&id) else { return };
        if row.clock.take_resend(now, self.rules.resend_after) {
            let unanswered: Vec<Attempt> = row.instance.unanswered().collect();
            for attempt in unanswered {
                self.resend(id, &attempt);
            }
        }
        if let Some(row) = self.rows.get_mut(&id) {
            row.wake_at = row.clock.wake_at(now);
        }
    }

    /// Of a saga whose version is not registered here: a process that knows it hears it.
    pub(crate) fn leave(&mut self, id: Uuid, answer: Happened) {
        let left = self.left.entry(id).or_default();
        if !left.contains(&answer) {
            left.push(answer);
        }
    }

    /// It will have to be saved.
    fn touch(&mut self, id: Uuid) {
        if let Some(row) = self.rows.get_mut(&id)
            && !row.touched
        {
            row.touched = true;
            self.moved.push(id);
        }
    }

    fn resend(&mut self, id: Uuid, attempt: &Attempt) {
        let Some(row) = self.rows.get(&id) else { return };
        let Some(saga) = self.rules.registry.saga(&row.instance.version) else { return };
        match saga.command(&row.instance, attempt) {
            Ok(command) => {
                info!(saga.id = %id, %attempt, "no answer yet, sent again");
                metrics::counter!("saga_commands_resent_total").increment(1);
                self.send(id, command, Source::default());
            }
            Err(unreadable) => error!(saga.id = %id, %attempt, %unreadable, "not sent again"),
        }
    }

    /// Tells whoever began a saga that has ended and was not completed. Participants that have
    /// forgotten it would set that aside.
    fn say_last_word(&mut self, id: Uuid) {
        let Some(row) = self.rows.get(&id) else { return };
        let Some(saga) = self.rules.registry.saga(&row.instance.version) else { return };
        if row.started_at + self.rules.inbox_horizon < self.now {
            return;
        }
        match saga.last_word(&row.instance) {
            Ok(Some(command)) => {
                info!(saga.id = %id, saga.key = row.key, "whoever began it is told that it is off");
                self.send(id, command, Source::default());
            }
            Ok(None) => {}
            Err(unreadable) => error!(saga.id = %id, %unreadable, "whoever began it is not told"),
        }
    }

    /// Of sagas that had begun before nothing is said again; except to whoever began them, when they
    /// have ended.
    async fn begun_before(&mut self, tx: &mut Tx<'_>, again: &HashSet<Uuid>) -> Result<(), Error> {
        metrics::counter!("saga_starts_repeated_total").increment(again.len() as u64);
        self.outgoing.retain(|(id, _)| !again.contains(id));
        self.notable.retain(|(id, _)| !again.contains(id));
        let repeated: Vec<Row> = again.iter().filter_map(|id| self.rows.remove(id)).collect();
        let events: HashMap<Uuid, &[u8]> = self.journal.iter().filter_map(Line::event).collect();
        let events: HashMap<(&str, &str), &[u8]> =
            repeated.iter().filter_map(|row| Some((row.once(), *events.get(&row.id)?))).collect();
        let before = store::begun_by(tx, events.keys().copied()).await?;
        for (row, event) in &before {
            if events.get(&row.once()).is_some_and(|again| again != event) {
                let definition = row.instance.version.saga.as_str();
                // Not wrong in any case: a newer build may say the same in more words.
                warn!(saga.id = %row.id, saga.key = row.key, definition,
                    "another event with this key, which has begun a saga before, begins nothing");
            }
        }
        for (row, _) in before {
            let id = row.id;
            self.rows.entry(id).or_insert(row);
            self.say_last_word(id);
        }
        Ok(())
    }

    /// Takes a transition down.
    fn take(&mut self, id: Uuid, transition: Transition, source: Source<'_>) {
        let Transition { instance, send, timers, entry } = transition;
        if let Some(row) = self.rows.get_mut(&id) {
            self.notable.extend(notable(row, &instance, &entry).map(|notable| (id, notable)));
            row.clock.moved(&instance, timers, self.now, self.rules.resend_after, spread());
            row.wake_at = row.wake_at.min(row.clock.wake_at(self.now));
            row.instance = instance;
        }
        self.journal.push(Line { saga_id: id, entry, stopwatch: source.stopwatch() });
        for command in send {
            self.send(id, command, source);
        }
    }

    fn send(&mut self, id: Uuid, command: Outgoing, source: Source<'_>) {
        let Some(row) = self.rows.get(&id) else { return };
        let Outgoing { attempt, topic, command: kind, payload } = command;
        let deadline = row.clock.deadline(&attempt);
        let saga = self.rules.registry.saga(&row.instance.version);
        let is_start = saga.is_some_and(|saga| saga.definition().begins_with(&attempt.step));
        let context = SagaContext {
            saga_id: id,
            definition: row.instance.version.saga.clone(),
            step: attempt.step,
            direction: match attempt.direction {
                Direction::Invoke => messaging::message::Direction::Invoke,
                Direction::Compensate => messaging::message::Direction::Compensate,
            },
            attempt: attempt.number,
            is_start,
        };
        let mut message = Message::command(SERVICE, &row.key, topic, kind, payload, context);
        message.envelope.deadline = deadline;
        let message = match source.envelope {
            Some(envelope) => message.caused_by(envelope),
            None => message,
        };
        self.outgoing.push((id, message));
    }

    /// Saves all that has moved, and sends what follows. Fails with a conflict when somebody else
    /// moved one of the sagas. Returns what moved.
    pub(crate) async fn save(mut self, tx: &mut Tx<'_>) -> Result<Vec<Moved>, Error> {
        let rows: Vec<&Row> =
            self.begun.iter().chain(&self.moved).filter_map(|id| self.rows.get(id)).collect();
        if !rows.is_empty() {
            let begun = store::save(tx, self.now, &rows, &self.journal).await?;
            if begun.len() < self.begun.len() {
                let again: HashSet<Uuid> =
                    self.begun.iter().filter(|id| !begun.contains(id)).copied().collect();
                self.begun_before(tx, &again).await?;
            }
        }
        if !self.left.is_empty() {
            store::leave_answers(tx, &self.left).await?;
        }
        if !self.heard_left.is_empty() {
            store::forget_answers_left(tx, &self.heard_left).await?;
        }
        for (_, message) in self.outgoing {
            tx.send(message)?;
        }
        for (id, notable) in &self.notable {
            if let Some(row) = self.rows.get(id) {
                notable.report(row);
            }
        }
        if !self.rules.movements.is_watched() {
            return Ok(Vec::new());
        }
        // To be looked at is not to move.
        let has_moved = |row: &Row| row.instance.revision != row.loaded_revision;
        let rows = self.rows.into_values().filter(has_moved);
        Ok(rows.map(|row| Moved::of(row, self.now)).collect())
    }
}

/// The coordinator's name: crate, binary, consumer group and source of messages.
pub(crate) const SERVICE: &str = "saga-coordinator";

/// Between 0 and 1: not for secrets.
fn spread() -> f64 {
    f64::from(Uuid::now_v7().as_u64_pair().1 as u16) / f64::from(u16::MAX)
}

/// What is counted, and logged, once it is written.
#[derive(Debug)]
enum Notable {
    Began,
    GotStuck { step: String, reason: String },
    Ended,
}

fn notable(row: &Row, now: &Instance, entry: &Entry) -> impl Iterator<Item = Notable> + use<> {
    let began = (entry.revision == 1).then_some(Notable::Began);
    let was_stuck = |step: &str| row.instance.stuck_steps().any(|(before, _)| before == step);
    let got_stuck = now.stuck_steps().filter(|(step, _)| !was_stuck(step)).map(|(step, reason)| {
        Notable::GotStuck { step: step.to_owned(), reason: reason.to_owned() }
    });
    let got_stuck: Vec<Notable> = got_stuck.collect();
    began.into_iter().chain(got_stuck).chain(now.has_ended().then_some(Notable::Ended))
}

impl Notable {
    fn report(&self, row: &Row) {
        let (id, key, definition) = (row.id, &row.key, row.instance.version.saga.clone());
        match self {
            Notable::Began => {
                debug!(saga.id = %id, saga.key = key, definition, "began");
                metrics::counter!("saga_started_total", "definition" => definition).increment(1);
            }
            Notable::GotStuck { step, reason } => {
                error!(saga.id = %id, saga.key = key, step, reason, "stuck: a person has to look");
                metrics::counter!("saga_stuck_total", "definition" => definition).increment(1);
            }
            Notable::Ended => {
                let status = row.instance.label();
                debug!(saga.id = %id, saga.key = key, definition, status, "ended");
                metrics::counter!(
                    "saga_ended_total", "definition" => definition, "status" => status
                )
                .increment(1);
            }
        }
    }
}
