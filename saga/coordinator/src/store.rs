//! Sagas, their journal and their clocks in the database. One statement for a whole batch: arrays
//! are unnested in the select list, where they stream; in a FROM they would be stored first.

use std::collections::{BTreeMap, HashSet};

use messaging::{Error, Stopwatch, Tx};
use saga_core::{Cause, Entry, Happened, Instance, Registry, Saga, Version};
use sqlx::{
    FromRow, PgPool, Postgres, postgres::PgArguments, query, query::QueryAs, query_as, query_scalar,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    clock::Clock,
    journal::Columns,
    json_text::{Json, JsonLines},
};

/// What is stored about one saga, in bytes of JSON: what it remembers should be ids, not documents.
const INSTANCE_LIMIT: usize = 64 * 1024;

/// A saga as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) key: String,
    pub(crate) instance: Instance,
    pub(crate) clock: Clock,
    pub(crate) wake_at: OffsetDateTime,
    pub(crate) started_at: OffsetDateTime,
    /// It is written only over this revision. 0 before it is stored.
    pub(crate) loaded_revision: u64,
    /// Whether it was changed since it was loaded.
    pub(crate) touched: bool,
    /// What a process that does not know its version heard of it. Read when it is due.
    pub(crate) answers_left: Vec<Happened>,
}

impl Row {
    /// One that is to begin.
    pub(crate) fn new(id: Uuid, key: &str, instance: Instance, now: OffsetDateTime) -> Self {
        Row {
            id,
            key: key.to_owned(),
            instance,
            clock: Clock::default(),
            wake_at: now + time::Duration::DAY,
            started_at: now,
            loaded_revision: 0,
            touched: false,
            answers_left: Vec::new(),
        }
    }

    /// Of its key and definition there is one.
    pub(crate) fn once(&self) -> (&str, &str) {
        (&self.key, &self.instance.version.saga)
    }
}

#[derive(FromRow)]
struct Stored {
    id: Uuid,
    key: String,
    instance: Json<Instance>,
    clock: Json<Clock>,
    wake_at: OffsetDateTime,
    started_at: OffsetDateTime,
    revision: i64,
    answers_left: Option<JsonLines<Happened>>,
}

impl From<Stored> for Row {
    fn from(stored: Stored) -> Self {
        Row {
            id: stored.id,
            key: stored.key,
            instance: stored.instance.0,
            clock: stored.clock.0,
            wake_at: stored.wake_at,
            started_at: stored.started_at,
            loaded_revision: stored.revision.unsigned_abs(),
            touched: false,
            answers_left: stored.answers_left.map(|lines| lines.0).unwrap_or_default(),
        }
    }
}

/// Brings the tables up to date.
pub(crate) async fn migrate(db: &PgPool) -> anyhow::Result<()> {
    Ok(sqlx::migrate!("../../migrations/saga").run(db).await?)
}

/// The database's time, and these sagas, not locked.
pub(crate) async fn load(
    tx: &mut Tx<'_>,
    ids: &[Uuid],
) -> Result<(OffsetDateTime, Vec<Row>), Error> {
    type Stored = (
        OffsetDateTime,
        Option<Uuid>,
        Option<String>,
        Option<Json<Instance>>,
        Option<Json<Clock>>,
        Option<OffsetDateTime>,
        Option<OffsetDateTime>,
    );
    let rows: Vec<Stored> = query_as(
        "SELECT statement_timestamp(), id, key, instance, clock, wake_at, started_at
         FROM (SELECT) AS once LEFT JOIN saga ON id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let Some((now, ..)) = rows.first() else { return Err(sqlx::Error::RowNotFound.into()) };
    let now = *now;
    let row = |(_, id, key, instance, clock, wake_at, started_at): Stored| {
        let (Json(instance), Json(clock)) = (instance?, clock?);
        Some(Row {
            id: id?,
            key: key?,
            loaded_revision: instance.revision,
            instance,
            clock,
            wake_at: wake_at?,
            started_at: started_at?,
            touched: false,
            answers_left: Vec::new(),
        })
    };
    Ok((now, rows.into_iter().filter_map(row).collect()))
}

/// The sagas of these keys and definitions, not locked, each with the event that it began with.
pub(crate) async fn begun_by(
    tx: &mut Tx<'_>,
    keys_and_definitions: impl Iterator<Item = (&str, &str)>,
) -> Result<Vec<(Row, Vec<u8>)>, Error> {
    #[derive(FromRow)]
    struct Begun {
        #[sqlx(flatten)]
        stored: Stored,
        event: Option<Vec<u8>>,
    }
    let (keys, definitions): (Vec<&str>, Vec<&str>) = keys_and_definitions.unzip();
    let begun: Vec<Begun> = query_as(
        "SELECT id, key, instance, clock, wake_at, started_at, saga.revision, answers_left,
            payload AS event
         FROM (SELECT unnest($1::text[]) AS key, unnest($2::text[]) AS definition) AS again
         JOIN saga USING (key, definition)
         LEFT JOIN saga_journal AS first ON first.saga_id = id AND first.revision = 1",
    )
    .bind(keys)
    .bind(definitions)
    .fetch_all(&mut **tx)
    .await?;
    let row = |begun: Begun| (begun.stored.into(), begun.event.unwrap_or_default());
    Ok(begun.into_iter().map(row).collect())
}

/// What this build knows, one array for each column.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    definitions: Vec<&'a str>,
    versions: Vec<&'a str>,
}

impl<'a> Known<'a> {
    pub(crate) fn of(registry: &'a Registry) -> Self {
        let mut known = Known::default();
        for Version { saga, hash } in registry.sagas().map(Saga::version) {
            known.definitions.push(saga);
            known.versions.push(hash);
        }
        known
    }
}

/// Open sagas whose time to be looked at has come, of the versions that $1 and $2 name.
macro_rules! due {
    () => {
        "ended_at IS NULL AND wake_at <= now() \
         AND (definition, version) IN (SELECT unnest($1::text[]), unnest($2::text[]))"
    };
}

/// Open sagas whose time to be looked at has come, locked. Those that somebody else is moving right
/// now are left out: they come next time.
pub(crate) async fn lock_due(
    tx: &mut Tx<'_>,
    known: &Known<'_>,
    limit: i64,
) -> Result<(OffsetDateTime, Vec<Row>), Error> {
    let now = now(tx).await?;
    let rows: Vec<Stored> = query_as(concat!(
        "SELECT id, key, instance, clock, wake_at, started_at, revision, answers_left
         FROM saga WHERE ",
        due!(),
        " ORDER BY wake_at LIMIT $3 FOR UPDATE SKIP LOCKED",
    ))
    .bind(&known.definitions)
    .bind(&known.versions)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    Ok((now, rows.into_iter().map(Row::from).collect()))
}

/// Looks at the first open saga that is due a minute later; without reading what it says.
pub(crate) async fn postpone_first_due(
    tx: &mut Tx<'_>,
    known: &Known<'_>,
) -> Result<Option<Uuid>, Error> {
    let postponed = query_scalar(concat!(
        "UPDATE saga SET wake_at = now() + interval '1 minute'
         WHERE id = (SELECT id FROM saga WHERE ",
        due!(),
        " ORDER BY wake_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id",
    ))
    .bind(&known.definitions)
    .bind(&known.versions);
    Ok(postponed.fetch_optional(&mut **tx).await?)
}

/// Leaves answers to a process that knows their sagas, which are due at once.
pub(crate) async fn leave_answers(
    tx: &mut Tx<'_>,
    left: &BTreeMap<Uuid, Vec<Happened>>,
) -> Result<(), Error> {
    let lines: Result<Vec<String>, Error> = left
        .values()
        .map(|answers| answers.iter().map(|answer| Ok(json(answer)? + "\n")).collect())
        .collect();
    query(
        "UPDATE saga SET answers_left = coalesce(answers_left, '') || row.lines, wake_at = now()
         FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS lines) AS row
         WHERE saga.id = row.id AND ended_at IS NULL
            AND strpos(coalesce(answers_left, ''), row.lines) = 0",
    )
    .bind(left.keys().collect::<Vec<_>>())
    .bind(lines?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The answers that were left for these sagas are heard.
pub(crate) async fn forget_answers_left(tx: &mut Tx<'_>, ids: &[Uuid]) -> Result<(), Error> {
    query("UPDATE saga SET answers_left = NULL WHERE id = ANY($1)")
        .bind(ids)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// One saga by its id or its business key, locked. Of several with one key, the newest.
pub(crate) async fn lock(
    tx: &mut Tx<'_>,
    id_or_key: &str,
) -> Result<Option<(OffsetDateTime, Row)>, Error> {
    let now = now(tx).await?;
    let row: Option<Stored> = query_as(
        "SELECT id, key, instance, clock, wake_at, started_at, revision, answers_left FROM saga
         WHERE id = $1 OR key = $2 ORDER BY id DESC LIMIT 1 FOR UPDATE",
    )
    .bind(Uuid::parse_str(id_or_key).ok())
    .bind(id_or_key)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| (now, row.into())))
}

async fn now(tx: &mut Tx<'_>) -> Result<OffsetDateTime, Error> {
    Ok(query_scalar("SELECT now()").fetch_one(&mut **tx).await?)
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

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Other(error.to_string()))
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
