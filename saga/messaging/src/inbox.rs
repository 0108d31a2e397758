//! The barrier's rows in the database.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use crate::{
    Error, SagaContext, Tx,
    barrier::{Call, Held, Stands},
};

/// Which step a row is about, and whom a deferred answer goes to.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) command: String,
    pub(crate) saga: SagaContext,
}

/// A row that is new, or was changed since it was read.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) row: Row,
    pub(crate) was: Option<Held>,
    pub(crate) now: Held,
}

#[derive(FromRow)]
struct Stored {
    saga_id: Uuid,
    step: String,
    stands: String,
    attempt: i32,
    reply: Option<String>,
    payload: Option<Vec<u8>>,
    reason: Option<String>,
}

/// How the steps of these sagas stand here.
pub(crate) async fn held(
    tx: &mut Tx<'_>,
    sagas: impl Iterator<Item = Uuid>,
) -> Result<HashMap<(Uuid, String), Held>, Error> {
    let mut sagas: Vec<Uuid> = sagas.collect();
    sagas.sort_unstable();
    sagas.dedup();
    // The bounds let Postgres leave out the partitions of other days.
    let stored: Vec<Stored> = query_as(
        "SELECT saga_id, step, stands, attempt, reply, payload, reason FROM inbox_command
         WHERE saga_id = ANY($1) AND saga_id >= $2 AND saga_id <= $3",
    )
    .bind(&sagas)
    .bind(sagas.first())
    .bind(sagas.last())
    .fetch_all(&mut **tx)
    .await?;
    stored.into_iter().map(|row| Ok(((row.saga_id, row.step.clone()), row.held()?))).collect()
}

/// The steps whose answer to this command was deferred, with what they are called by.
pub(crate) async fn deferred(
    tx: &mut Tx<'_>,
    key: &str,
    command: &str,
) -> Result<Vec<(SagaContext, Call, Held)>, Error> {
    type Columns = (Uuid, String, String, i32, String, String);
    let rows: Vec<Columns> = query_as(
        "SELECT saga_id, step, stands, attempt, definition, direction FROM inbox_command
         WHERE key = $1 AND command = $2 AND stands IN ('deferred', 'undo-deferred')
         FOR UPDATE",
    )
    .bind(key)
    .bind(command)
    .fetch_all(&mut **tx)
    .await?;
    let waiting = |(saga_id, step, stands, attempt, definition, direction): Columns| {
        let attempt = attempt.unsigned_abs();
        let (call, stands) = match stands.as_str() {
            "undo-deferred" => (Call::Undo, Stands::UndoDeferred),
            _ => (Call::Invoke, Stands::Deferred),
        };
        let direction = direction.parse().map_err(|()| unknown("direction", &direction))?;
        let saga = SagaContext { saga_id, definition, step, direction, attempt, is_start: false };
        Ok((saga, call, Held { stands, attempt }))
    };
    rows.into_iter().map(waiting).collect()
}

/// Writes new rows and changed ones. Fails with a conflict when one is not any more as it was read.
pub(crate) async fn save(tx: &mut Tx<'_>, changed: &[Changed]) -> Result<(), Error> {
    let (new, known): (Vec<&Changed>, Vec<&Changed>) =
        changed.iter().partition(|changed| changed.was.is_none());
    if !new.is_empty() {
        insert(tx, &new).await?;
    }
    if !known.is_empty() {
        update(tx, &known).await?;
    }
    Ok(())
}

/// The columns that say how a step stands, one array each.
#[derive(Default)]
struct Columns<'a> {
    saga_ids: Vec<Uuid>,
    steps: Vec<&'a str>,
    stands: Vec<&'a str>,
    attempts: Vec<i32>,
    replies: Vec<Option<&'a str>>,
    payloads: Vec<Option<&'a [u8]>>,
    reasons: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(changed: &[&'a Changed]) -> Self {
        let mut columns = Columns::default();
        for Changed { row, now, .. } in changed.iter().copied() {
            columns.saga_ids.push(row.saga.saga_id);
            columns.steps.push(&row.saga.step);
            columns.stands.push(now.stands.label());
            columns.attempts.push(now.attempt.cast_signed());
            let (reply, payload, reason) = match &now.stands {
                Stands::Succeeded(name, payload) | Stands::Undone(name, payload) => {
                    (Some(name.as_str()), Some(payload.as_slice()), None)
                }
                Stands::Refused(reason) | Stands::UndoRefused(reason) => {
                    (None, None, Some(reason.as_str()))
                }
                Stands::Deferred | Stands::UndoDeferred => (None, None, None),
            };
            columns.replies.push(reply);
            columns.payloads.push(payload);
            columns.reasons.push(reason);
        }
        columns
    }
}

async fn insert(tx: &mut Tx<'_>, new: &[&Changed]) -> Result<(), Error> {
    let columns = Columns::of(new);
    let keys: Vec<&str> = new.iter().map(|changed| changed.row.key.as_str()).collect();
    let commands: Vec<&str> = new.iter().map(|changed| changed.row.command.as_str()).collect();
    let definitions: Vec<&str> =
        new.iter().map(|changed| changed.row.saga.definition.as_str()).collect();
    let directions: Vec<&str> =
        new.iter().map(|changed| changed.row.saga.direction.as_str()).collect();
    query(
        "INSERT INTO inbox_command
            (saga_id, step, stands, attempt, reply, payload, reason,
             key, command, definition, direction)
         SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::text[]), unnest($4::int[]),
            unnest($5::text[]), unnest($6::bytea[]), unnest($7::text[]), unnest($8::text[]),
            unnest($9::text[]), unnest($10::text[]), unnest($11::text[])",
    )
    .bind(&columns.saga_ids)
    .bind(&columns.steps)
    .bind(&columns.stands)
    .bind(&columns.attempts)
    .bind(&columns.replies)
    .bind(&columns.payloads)
    .bind(&columns.reasons)
    .bind(&keys)
    .bind(&commands)
    .bind(&definitions)
    .bind(&directions)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn update(tx: &mut Tx<'_>, known: &[&Changed]) -> Result<(), Error> {
    let columns = Columns::of(known);
    let was = |changed: &&Changed| changed.was.as_ref().map(|held| held.stands.label());
    let was_attempt =
        |changed: &&Changed| changed.was.as_ref().map(|held| held.attempt.cast_signed());
    let written = query(
        "UPDATE inbox_command AS held
         SET stands = row.stands, attempt = row.attempt, reply = row.reply,
             payload = row.payload, reason = row.reason,
             command = row.command, direction = row.direction, handled_at = now()
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bytea[],
            $7::text[], $8::text[], $9::int[], $10::text[], $11::text[])
            AS row (saga_id, step, stands, attempt, reply, payload, reason,
                    was, was_attempt, command, direction)
         WHERE held.saga_id = row.saga_id AND held.step = row.step
            AND held.stands = row.was AND held.attempt = row.was_attempt",
    )
    .bind(&columns.saga_ids)
    .bind(&columns.steps)
    .bind(&columns.stands)
    .bind(&columns.attempts)
    .bind(&columns.replies)
    .bind(&columns.payloads)
    .bind(&columns.reasons)
    .bind(known.iter().map(was).collect::<Vec<_>>())
    .bind(known.iter().map(was_attempt).collect::<Vec<_>>())
    .bind(known.iter().map(|changed| changed.row.command.as_str()).collect::<Vec<_>>())
    .bind(known.iter().map(|changed| changed.row.saga.direction.as_str()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() == known.len() as u64 { Ok(()) } else { Err(Error::Conflict) }
}

/// Those of the messages that this consumer has not handled before; they are noted as handled.
pub(crate) async fn note_events(
    tx: &mut Tx<'_>,
    consumer: &str,
    messages: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    let new = query_scalar(
        "INSERT INTO inbox_event (consumer, message_id)
         SELECT $1, * FROM unnest($2::uuid[]) ON CONFLICT DO NOTHING RETURNING message_id",
    );
    Ok(new.bind(consumer).bind(messages).fetch_all(&mut **tx).await?)
}

/// Whether the inbox still knows what was handled when `id`, of version 7, was made.
pub(crate) fn within_horizon(id: Uuid, horizon: Duration) -> Result<(), String> {
    let made = id.get_timestamp().filter(|_| id.get_version_num() == 7);
    let Some(made) = made else {
        return Err(format!("the id {id} is not of version 7: its age is not known"));
    };
    let (seconds, nanos) = made.to_unix();
    let made_at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    match made_at.elapsed() {
        Ok(age) if age > horizon => {
            Err(format!("{id} is {} s old: the inbox does not reach back that far", age.as_secs()))
        }
        // A clock that is a little ahead does no harm.
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Stored {
    fn held(self) -> Result<Held, Error> {
        let reply = (self.reply.unwrap_or_default(), self.payload.unwrap_or_default());
        let stands = match self.stands.as_str() {
            "deferred" => Stands::Deferred,
            "succeeded" => Stands::Succeeded(reply.0, reply.1),
            "refused" => Stands::Refused(self.reason.unwrap_or_default()),
            "undo-deferred" => Stands::UndoDeferred,
            "undo-refused" => Stands::UndoRefused(self.reason.unwrap_or_default()),
            "undone" => Stands::Undone(reply.0, reply.1),
            other => return Err(unknown("stands", other)),
        };
        Ok(Held { stands, attempt: self.attempt.unsigned_abs() })
    }
}

impl Stands {
    fn label(&self) -> &'static str {
        match self {
            Stands::Deferred => "deferred",
            Stands::Succeeded(..) => "succeeded",
            Stands::Refused(_) => "refused",
            Stands::UndoDeferred => "undo-deferred",
            Stands::UndoRefused(_) => "undo-refused",
            Stands::Undone(..) => "undone",
        }
    }
}

fn unknown(column: &str, value: &str) -> Error {
    Error::Other(format!("inbox_command.{column} cannot be `{value}`"))
}
