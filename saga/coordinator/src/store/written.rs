//! What a batch writes at its end: sagas, and lines of their journals.
//!
//! [`save`], below, is the statement; [`Written`] and [`Lines`] are its columns.

use std::collections::HashSet;

use messaging::{Error, Stopwatch, Tx};
use saga_core::{Cause, Entry, Happened};
use sqlx::{Postgres, postgres::PgArguments, query::QueryAs, query_as};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Row, json};
use crate::journal::Columns;

/// What is stored about one saga, in bytes of JSON: what it remembers should be ids, not documents.
const INSTANCE_LIMIT: usize = 64 * 1024;

/// A line of a saga's journal.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) saga_id: Uuid,
    pub(crate) entry: Entry,
    /// Of whoever answered.
    pub(crate) stopwatch: Option<Stopwatch>,
}

impl Line {
    /// Of a saga that begins: which, and the event that begins it.
    pub(crate) fn event(&self) -> Option<(Uuid, &[u8])> {
        match &self.entry.happened {
            Happened::Started { event } => Some((self.saga_id, event)),
            Happened::Answered { .. }
            | Happened::TimedOut(_)
            | Happened::Parked { .. }
            | Happened::Intervened { .. } => None,
        }
    }
}

type Statement<'q, O> = QueryAs<'q, Postgres, O, PgArguments>;

/// The columns of sagas that are written, one array each.
#[derive(Default)]
struct Written<'a> {
    ids: Vec<Uuid>,
    revisions: Vec<i64>,
    instances: Vec<String>,
    statuses: Vec<&'static str>,
    waits_for: Vec<String>,
    cause_steps: Vec<Option<&'a str>>,
    causes: Vec<Option<String>>,
    stuck_steps: Vec<Option<&'a str>>,
    stuck_reasons: Vec<Option<&'a str>>,
    clocks: Vec<String>,
    wake_ats: Vec<OffsetDateTime>,
    ended: Vec<bool>,
    loaded: Vec<i64>,
    definitions: Vec<&'a str>,
    versions: Vec<&'a str>,
    keys: Vec<&'a str>,
}

impl<'a> Written<'a> {
    fn of(rows: &[&'a Row]) -> Result<Self, Error> {
        let mut written = Written::default();
        for row in rows {
            let instance = &row.instance;
            let steps: Vec<String> = instance.outstanding().map(|attempt| attempt.step).collect();
            let cause = instance.cause();
            let (stuck_step, stuck_reason) = instance.stuck().unzip();
            written.ids.push(row.id);
            written.revisions.push(instance.revision.cast_signed());
            written.instances.push(limited(row.id, json(instance)?)?);
            written.statuses.push(instance.label());
            written.waits_for.push(steps.join(","));
            written.cause_steps.push(cause.and_then(Cause::step));
            written.causes.push(cause.map(ToString::to_string));
            written.stuck_steps.push(stuck_step);
            written.stuck_reasons.push(stuck_reason);
            written.clocks.push(json(&row.clock)?);
            written.wake_ats.push(row.wake_at);
            written.ended.push(instance.has_ended());
            written.loaded.push(row.loaded_revision.cast_signed());
            written.definitions.push(&instance.version.saga);
            written.versions.push(&instance.version.hash);
            written.keys.push(&row.key);
        }
        Ok(written)
    }
}

/// What [`Written::bind`] binds, in a select list.
macro_rules! written {
    () => {
        "unnest($1::uuid[]) AS id, unnest($2::bigint[]) AS revision, \
         unnest($3::text[]) AS instance, unnest($4::text[]) AS status, \
         unnest($5::text[]) AS waits_for, unnest($6::text[]) AS cause_step, \
         unnest($7::text[]) AS cause, unnest($8::text[]) AS stuck_step, \
         unnest($9::text[]) AS stuck_reason, unnest($10::text[]) AS clock, \
         unnest($11::timestamptz[]) AS wake_at, unnest($12::bool[]) AS ended, \
         unnest($13::bigint[]) AS loaded, unnest($14::text[]) AS definition, \
         unnest($15::text[]) AS version, unnest($16::text[]) AS key"
    };
}

impl Written<'_> {
    /// As $1 to $16 of a statement.
    fn bind<'q, O>(&'q self, query: Statement<'q, O>) -> Statement<'q, O> {
        query
            .bind(&self.ids)
            .bind(&self.revisions)
            .bind(&self.instances)
            .bind(&self.statuses)
            .bind(&self.waits_for)
            .bind(&self.cause_steps)
            .bind(&self.causes)
            .bind(&self.stuck_steps)
            .bind(&self.stuck_reasons)
            .bind(&self.clocks)
            .bind(&self.wake_ats)
            .bind(&self.ended)
            .bind(&self.loaded)
            .bind(&self.definitions)
            .bind(&self.versions)
            .bind(&self.keys)
    }
}

/// The columns of the journal, one array each.
#[derive(Default)]
struct Lines<'a> {
    saga_ids: Vec<Uuid>,
    revisions: Vec<i64>,
    happened: Vec<&'static str>,
    steps: Vec<Option<&'a str>>,
    directions: Vec<Option<&'static str>>,
    attempts: Vec<Option<i32>>,
    outcomes: Vec<Option<&'static str>>,
    payloads: Vec<Option<&'a [u8]>>,
    verbs: Vec<Option<&'static str>>,
    actors: Vec<Option<&'a str>>,
    reasons: Vec<Option<&'a str>>,
    sent: Vec<String>,
    stopwatches: Vec<Option<String>>,
}

impl<'a> Lines<'a> {
    fn of(journal: &'a [Line]) -> Self {
        let mut lines = Lines::default();
        for Line { saga_id, entry, stopwatch } in journal {
            let columns = Columns::of(entry);
            lines.saga_ids.push(*saga_id);
            lines.revisions.push(entry.revision.cast_signed());
            lines.happened.push(columns.happened);
            lines.steps.push(columns.step);
            lines.directions.push(columns.direction);
            lines.attempts.push(columns.attempt);
            lines.outcomes.push(columns.outcome);
            lines.payloads.push(columns.payload);
            lines.verbs.push(columns.verb);
            lines.actors.push(columns.actor);
            lines.reasons.push(columns.reason);
            lines.sent.push(columns.sent);
            lines.stopwatches.push(stopwatch.map(|stopwatch| stopwatch.to_string()));
        }
        lines
    }
}

/// What [`Lines::bind`] binds, in a select list.
macro_rules! lines {
    () => {
        "unnest($17::uuid[]) AS saga_id, unnest($18::bigint[]) AS revision, \
         unnest($19::text[]) AS happened, unnest($20::text[]) AS step, \
         unnest($21::text[]) AS direction, unnest($22::int[]) AS attempt, \
         unnest($23::text[]) AS outcome, unnest($24::bytea[]) AS payload, \
         unnest($25::text[]) AS verb, unnest($26::text[]) AS actor, \
         unnest($27::text[]) AS reason, unnest($28::text[]) AS sent, \
         unnest($29::text[]) AS stopwatch"
    };
}

impl Lines<'_> {
    /// As $17 to $29 of a statement.
    fn bind<'q, O>(&'q self, query: Statement<'q, O>) -> Statement<'q, O> {
        query
            .bind(&self.saga_ids)
            .bind(&self.revisions)
            .bind(&self.happened)
            .bind(&self.steps)
            .bind(&self.directions)
            .bind(&self.attempts)
            .bind(&self.outcomes)
            .bind(&self.payloads)
            .bind(&self.verbs)
            .bind(&self.actors)
            .bind(&self.reasons)
            .bind(&self.sent)
            .bind(&self.stopwatches)
    }
}

/// Writes sagas that begin, sagas over the revision they were loaded at, and lines of their journals,
/// in one statement, as of `now`. A saga that the same event began before is left as it is, and so is
/// its journal; returns the ids of the others that begin.
pub(crate) async fn save(
    tx: &mut Tx<'_>,
    now: OffsetDateTime,
    rows: &[&Row],
    journal: &[Line],
) -> Result<HashSet<Uuid>, Error> {
    let (written, lines) = (Written::of(rows)?, Lines::of(journal));
    let save = query_as(concat!(
        "WITH begun AS (
            INSERT INTO saga (id, revision, instance, status, waits_for, cause_step, cause,
                stuck_step, stuck_reason, clock, wake_at, started_at, moved_at, ended_at,
                definition, version, key)
            SELECT id, revision, instance, status, waits_for, cause_step, cause,
                stuck_step, stuck_reason, clock, wake_at, $30, $30, CASE WHEN ended THEN $30 END,
                definition, version, key
            FROM (SELECT ",
        written!(),
        ") AS row WHERE loaded = 0
            ON CONFLICT ON CONSTRAINT saga_once DO NOTHING
            RETURNING id
        ), moved AS (
            UPDATE saga
            SET revision = row.revision, instance = row.instance, status = row.status,
                waits_for = row.waits_for, cause_step = row.cause_step, cause = row.cause,
                stuck_step = row.stuck_step, stuck_reason = row.stuck_reason,
                clock = row.clock, wake_at = row.wake_at,
                -- To be looked at, or asked again, is not to move.
                moved_at = CASE WHEN row.revision > loaded THEN $30 ELSE saga.moved_at END,
                ended_at = CASE WHEN ended THEN $30 END
            FROM (SELECT ",
        written!(),
        ") AS row WHERE loaded > 0 AND saga.id = row.id AND saga.revision = loaded
            RETURNING saga.id
        ), noted AS (
            INSERT INTO saga_journal (saga_id, revision, happened, step, direction, attempt,
                outcome, payload, verb, actor, reason, sent, stopwatch, happened_at)
            SELECT *, $30 FROM (SELECT ",
        lines!(),
        ") AS line WHERE revision > 1 OR saga_id IN (SELECT id FROM begun)
        )
        SELECT id, true FROM begun UNION ALL SELECT id, false FROM moved",
    ));
    let saved: Vec<(Uuid, bool)> =
        lines.bind(written.bind(save)).bind(now).fetch_all(&mut **tx).await?;
    let (begun, moved): (Vec<_>, Vec<_>) = saved.into_iter().partition(|(_, has_begun)| *has_begun);
    let to_move = rows.iter().filter(|row| row.loaded_revision > 0).count();
    if moved.len() < to_move {
        return Err(Error::Conflict);
    }
    Ok(begun.into_iter().map(|(id, _)| id).collect())
}

fn limited(id: Uuid, instance: String) -> Result<String, Error> {
    if instance.len() <= INSTANCE_LIMIT {
        return Ok(instance);
    }
    Err(Error::Other(format!(
        "saga {id} would take {} bytes, {INSTANCE_LIMIT} are allowed: remember ids, not documents",
        instance.len()
    )))
}
