//! Questions to the coordinator's own tables, from the pool: no lane is disturbed.

use saga_core::{Instance, Registry, Saga, Version};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, query_as};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{journal, json_text::Json, view::Times};

/// A saga with its times.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Found {
    pub(crate) id: Uuid,
    pub(crate) key: String,
    pub(crate) instance: Json<Instance>,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) moved_at: OffsetDateTime,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

impl Found {
    pub(crate) fn times(&self) -> Times {
        let Found { started_at, moved_at, ended_at, .. } = *self;
        Times { started_at, moved_at, ended_at }
    }

    pub(crate) fn saga<'r>(&self, registry: &'r Registry) -> Option<&'r Saga> {
        let version: &Version = &self.instance.version;
        registry.saga(version)
    }
}

/// What a list is narrowed to. Empty fields narrow nothing.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub(crate) struct Filter {
    pub(crate) statuses: Vec<&'static str>,
    pub(crate) definition: String,
    pub(crate) key: String,
    pub(crate) step: String,
    pub(crate) error: String,
    /// Ids sort by the time of the start: from this one on, and below that one.
    pub(crate) started_after: Option<Uuid>,
    pub(crate) started_before: Option<Uuid>,
    /// Seconds.
    pub(crate) quiet_for: Option<i64>,
}

const COLUMNS: &str = "SELECT id, key, instance, started_at, moved_at, ended_at FROM saga ";

/// By id or business key. Of several with one key, the newest.
pub(crate) async fn find(db: &PgPool, id_or_key: &str) -> sqlx::Result<Option<Found>> {
    let id = Uuid::parse_str(id_or_key).ok();
    query_as(
        "SELECT id, key, instance, started_at, moved_at, ended_at FROM saga
         WHERE id = $1 OR key = ANY($2) ORDER BY id DESC LIMIT 1",
    )
    .bind(id)
    // As it was given, or as ids are written.
    .bind([Some(id_or_key.to_owned()), id.map(|id| id.to_string())])
    .fetch_optional(db)
    .await
}

/// In order. Without what came after the saga was found: it may have moved since.
pub(crate) async fn journal(db: &PgPool, found: &Found) -> sqlx::Result<Vec<journal::Stored>> {
    query_as(
        "SELECT revision, happened_at, happened, step, direction, attempt, outcome, payload, verb,
            actor, reason, sent, stopwatch
         FROM saga_journal WHERE saga_id = $1 AND revision <= $2 ORDER BY revision",
    )
    .bind(found.id)
    .bind(found.instance.revision.cast_signed())
    .fetch_all(db)
    .await
}

/// The newest first, from below `before`.
pub(crate) async fn list(
    db: &PgPool,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Found>> {
    let mut select = QueryBuilder::<Postgres>::new(COLUMNS);
    select.push("WHERE true");
    if let Some(before) = before {
        select.push(" AND id < ").push_bind(before);
    }
    if !filter.statuses.is_empty() {
        select.push(" AND status = ANY(").push_bind(&filter.statuses).push(")");
        if filter.statuses.iter().all(|status| OPEN.contains(status)) {
            // There are few of them, and an index knows which.
            select.push(" AND ended_at IS NULL");
        }
    }
    if !filter.definition.is_empty() {
        select.push(" AND definition = ").push_bind(&filter.definition);
    }
    if !filter.key.is_empty() {
        select.push(" AND key = ").push_bind(&filter.key);
    }
    if !filter.step.is_empty() {
        let step = &filter.step;
        select.push(" AND (").push_bind(step).push(" = ANY(string_to_array(waits_for, ','))");
        select.push(" OR cause_step = ").push_bind(step);
        select.push(" OR stuck_step = ").push_bind(step).push(")");
    }
    if !filter.error.is_empty() {
        let error = &filter.error;
        select.push(" AND (cause IS NOT NULL OR stuck_step IS NOT NULL) AND position(lower(");
        select.push_bind(error).push(") IN lower(concat_ws(' ', cause, stuck_reason))) > 0");
    }
    if let Some(first) = filter.started_after {
        select.push(" AND id >= ").push_bind(first);
    }
    if let Some(end) = filter.started_before {
        select.push(" AND id < ").push_bind(end);
    }
    if let Some(seconds) = filter.quiet_for {
        select.push(" AND ended_at IS NULL AND moved_at < now() - make_interval(secs => ");
        select.push_bind(seconds as f64).push(")");
    }
    select.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    select.build_query_as().fetch_all(db).await
}

/// Statuses of what has not ended.
const OPEN: [&str; 4] = ["running", "compensating", "paused", "stuck"];
