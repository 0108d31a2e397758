//! Sagas, their journal and their clocks in the database. One statement for a whole batch: arrays
//! are unnested in the select list, where they stream; in a FROM they would be stored first.

use std::collections::HashSet;

use messaging::{Error, Stopwatch, Tx};
use saga_core::{Cause, Entry, Instance};
use sqlx::{
    FromRow, PgPool, Postgres, Row as _, postgres::PgArguments, query, query::Query, query_as,
    query_scalar,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{clock::Clock, journal::Columns, json_text::Json};

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
        }
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
        "SELECT now(), id, key, instance, clock, wake_at, started_at
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
        })
    };
    Ok((now, rows.into_iter().filter_map(row).collect()))
}

/// Open sagas whose time to be looked at has come, locked. Those that somebody else is moving right
/// now are left out: they come next time.
pub(crate) async fn lock_due(
    tx: &mut Tx<'_>,
    limit: i64,
) -> Result<(OffsetDateTime, Vec<Row>), Error> {
    let now = now(tx).await?;
    let rows: Vec<Stored> = query_as(
        "SELECT id, key, instance, clock, wake_at, started_at, revision FROM saga
         WHERE ended_at IS NULL AND wake_at <= now()
         ORDER BY wake_at LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    Ok((now, rows.into_iter().map(Row::from).collect()))
}

/// Looks at the first open saga that is due a minute later; without reading what it says.
pub(crate) async fn postpone_first_due(tx: &mut Tx<'_>) -> Result<Option<Uuid>, Error> {
    let postponed = query_scalar(
        "UPDATE saga SET wake_at = now() + interval '1 minute'
         WHERE id = (
            SELECT id FROM saga WHERE ended_at IS NULL AND wake_at <= now()
            ORDER BY wake_at LIMIT 1 FOR UPDATE SKIP LOCKED
         )
         RETURNING id",
    );
    Ok(postponed.fetch_optional(&mut **tx).await?)
}

/// One saga by its id or its business key, locked. Of several with one key, the newest.
pub(crate) async fn lock(
    tx: &mut Tx<'_>,
    id_or_key: &str,
) -> Result<Option<(OffsetDateTime, Row)>, Error> {
    let now = now(tx).await?;
    let row: Option<Stored> = query_as(
        "SELECT id, key, instance, clock, wake_at, started_at, revision FROM saga
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
         unnest($11::timestamptz[]) AS wake_at, unnest($12::bool[]) AS ended"
    };
}

impl Written<'_> {
    /// As $1 to $12 of a statement.
    fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
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
    }
}

/// Inserts sagas that begin; returns the ids of those that the same event did not begin before.
pub(crate) async fn insert(tx: &mut Tx<'_>, rows: &[&Row]) -> Result<HashSet<Uuid>, Error> {
    let written = Written::of(rows)?;
    let definitions: Vec<&str> =
        rows.iter().map(|row| row.instance.version.saga.as_str()).collect();
    let versions: Vec<&str> = rows.iter().map(|row| row.instance.version.hash.as_str()).collect();
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let insert = query(concat!(
        "INSERT INTO saga (id, revision, instance, status, waits_for, cause_step, cause,
            stuck_step, stuck_reason, clock, wake_at, ended_at, definition, version, key)
         SELECT id, revision, instance, status, waits_for, cause_step, cause,
            stuck_step, stuck_reason, clock, wake_at, CASE WHEN ended THEN now() END,
            definition, version, key
         FROM (SELECT ",
        written!(),
        ", unnest($13::text[]) AS definition, unnest($14::text[]) AS version,
            unnest($15::text[]) AS key) AS row
         ON CONFLICT ON CONSTRAINT saga_once DO NOTHING
         RETURNING id",
    ));
    let insert = written.bind(insert).bind(&definitions).bind(&versions).bind(&keys);
    let inserted = insert.fetch_all(&mut **tx).await?;
    Ok(inserted.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Writes sagas over the revision they were loaded at.
pub(crate) async fn update(tx: &mut Tx<'_>, rows: &[&Row]) -> Result<(), Error> {
    let written = Written::of(rows)?;
    let loaded: Vec<i64> = rows.iter().map(|row| row.loaded_revision.cast_signed()).collect();
    let update = query(concat!(
        "UPDATE saga
         SET revision = row.revision, instance = row.instance, status = row.status,
             waits_for = row.waits_for, cause_step = row.cause_step, cause = row.cause,
             stuck_step = row.stuck_step, stuck_reason = row.stuck_reason,
             clock = row.clock, wake_at = row.wake_at,
             -- To be looked at, or asked again, is not to move.
             moved_at = CASE WHEN row.revision > row.loaded THEN now() ELSE saga.moved_at END,
             ended_at = CASE WHEN row.ended THEN now() END
         FROM (SELECT ",
        written!(),
        ", unnest($13::bigint[]) AS loaded) AS row
         WHERE saga.id = row.id AND saga.revision = row.loaded",
    ));
    let updated = written.bind(update).bind(&loaded).execute(&mut **tx).await?;
    if updated.rows_affected() == rows.len() as u64 { Ok(()) } else { Err(Error::Conflict) }
}

/// A line of a saga's journal.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) saga_id: Uuid,
    pub(crate) entry: Entry,
    /// Of whoever answered.
    pub(crate) stopwatch: Option<Stopwatch>,
}

/// Appends to the journal.
pub(crate) async fn journal(tx: &mut Tx<'_>, lines: &[Line]) -> Result<(), Error> {
    let saga_ids: Vec<Uuid> = lines.iter().map(|line| line.saga_id).collect();
    let revisions: Vec<i64> = lines.iter().map(|line| line.entry.revision.cast_signed()).collect();
    let columns: Vec<Columns<'_>> = lines.iter().map(|line| Columns::of(&line.entry)).collect();
    let stopwatches: Vec<Option<String>> =
        lines.iter().map(|line| line.stopwatch.map(|stopwatch| stopwatch.to_string())).collect();
    query(
        "INSERT INTO saga_journal (saga_id, revision, happened, step, direction, attempt,
            outcome, payload, verb, actor, reason, sent, stopwatch)
         SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]),
            unnest($5::text[]), unnest($6::int[]), unnest($7::text[]), unnest($8::bytea[]),
            unnest($9::text[]), unnest($10::text[]), unnest($11::text[]), unnest($12::text[]),
            unnest($13::text[])",
    )
    .bind(&saga_ids)
    .bind(&revisions)
    .bind(columns.iter().map(|line| line.happened).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.step).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.direction).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.attempt).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.outcome).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.payload).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.verb).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.actor).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.reason).collect::<Vec<_>>())
    .bind(columns.iter().map(|line| line.sent.as_str()).collect::<Vec<_>>())
    .bind(&stopwatches)
    .execute(&mut **tx)
    .await?;
    Ok(())
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
