//! Sagas, their journal and their clocks in the database. One statement for a whole batch: arrays
//! are unnested in the select list, where they stream; in a FROM they would be stored first.
//!
//! Here is a saga as it is stored, and how it is read: by its id, by the event that began it, or
//! because it is due. Then [`written`] says how it is stored again, with the lines of its journal.

mod written;

use std::collections::BTreeMap;

use messaging::{Error, Tx};
use saga_core::{Happened, Instance, Registry, Saga, Version};
use sqlx::{FromRow, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::written::{Line, save};
use crate::{
    clock::Clock,
    json_text::{Json, JsonLines},
};

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

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Other(error.to_string()))
}
