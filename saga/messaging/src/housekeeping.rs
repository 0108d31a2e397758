//! What has to be looked after while a process runs: missing topics, time partitions, and outbox
//! rows of lanes whose owner does not come back.

use std::{collections::HashMap, time::Duration};

use sqlx::{AssertSqlSafe, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::{
    Error, Messaging, Options,
    consumer::{on_own_thread, own_runtime},
    error::chain,
    lane::Lane,
    rotation::By,
    topics,
    trouble::Trouble,
};

/// How often to look.
const ROUND: Duration = Duration::from_secs(5);

/// Brings the tables of this crate up to date.
pub async fn migrate(db: &PgPool) -> Result<(), Error> {
    let mut migrator = sqlx::migrate!("../../migrations/messaging");
    // Beside the service's own migrations in one database.
    migrator.dangerous_set_table_name("messaging_migrations");
    Ok(migrator.run(db).await?)
}

pub(crate) async fn run(messaging: &Messaging) -> Result<(), Error> {
    let mut ticks = tokio::time::interval(ROUND);
    let mut behind = HashMap::new();
    let mut trouble = Trouble::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = messaging.shutdown.cancelled() => return Ok(()),
        }
        match round(messaging, &mut behind).await {
            Ok(()) if trouble.is_over() => info!("housekeeping goes on"),
            Ok(()) => {}
            Err(failure) => {
                if let Some(error) = trouble.news(&failure) {
                    warn!(error, "housekeeping");
                }
            }
        }
    }
}

/// Of lanes that are behind: how far they are published.
type Behind = HashMap<String, i64>;

async fn round(messaging: &Messaging, behind: &mut Behind) -> Result<(), Error> {
    let options = &messaging.options;
    let before = std::mem::replace(behind, lanes_behind(messaging).await?);
    rotate(&messaging.db, options).await?;
    forget_culprits(messaging).await?;
    // Last what needs Kafka: the rest is looked after while it is away. One try: the next round is soon.
    topics::try_ensure(&options.kafka, &topics::with_dead_letters(&options.topics)).await?;
    for (lane, published_seq) in behind.iter() {
        // Who lives moves on. One that cannot be adopted must not keep the others waiting.
        if before.get(lane) == Some(published_seq)
            && let Err(error) = adopt(messaging, lane).await
        {
            warn!(lane, error = chain(&error), "publishing what its owner left");
        }
    }
    Ok(())
}

/// Makes the partitions for the time ahead and drops those that are over.
pub(crate) async fn rotate(db: &PgPool, options: &Options) -> Result<(), Error> {
    let now = OffsetDateTime::now_utc();
    let tables = [
        ("outbox", By::Hour, options.outbox_retention, EMPTY_OUTBOX_DEFAULT),
        ("inbox_command", By::UuidDay, options.inbox_horizon, EMPTY_INBOX_COMMAND_DEFAULT),
        ("inbox_event", By::UuidDay, options.inbox_horizon, EMPTY_INBOX_EVENT_DEFAULT),
    ];
    for (table, by, keep, empty_default) in tables {
        let present = partitions(db, table).await?;
        for wanted in by.wanted(table, now) {
            if !present.contains(&wanted.name) {
                make(db, table, &wanted.name, &wanted.from, &wanted.to).await?;
            }
        }
        let keep = time::Duration::try_from(keep).unwrap_or(time::Duration::MAX);
        let kept_from = now.checked_sub(keep).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        query(empty_default).bind(by.bound(kept_from)).execute(db).await?;
        for name in present.iter().filter(|name| by.is_over(table, name, now, keep)) {
            if table != "outbox" || is_published(db, name).await? {
                info!(partition = name, "dropping a partition that is over");
                alter(db, format!("DROP TABLE IF EXISTS {name}")).await?;
            }
        }
    }
    Ok(())
}

/// What came when its time had no partition lies in the default one, and goes row by row.
const EMPTY_OUTBOX_DEFAULT: &str = "DELETE FROM outbox_default AS row USING outbox_lane AS lane
     WHERE row.lane = lane.lane AND row.seq <= lane.published_seq
         AND row.written_at < $1::text::timestamptz";
const EMPTY_INBOX_COMMAND_DEFAULT: &str =
    "DELETE FROM inbox_command_default WHERE saga_id < $1::text::uuid";
const EMPTY_INBOX_EVENT_DEFAULT: &str =
    "DELETE FROM inbox_event_default WHERE message_id < $1::text::uuid";

async fn partitions(db: &PgPool, table: &str) -> Result<Vec<String>, Error> {
    let names = query_scalar(
        "SELECT child.relname::text FROM pg_inherits
         JOIN pg_class AS child ON child.oid = inhrelid
         WHERE inhparent = $1::regclass",
    );
    Ok(names.bind(table).fetch_all(db).await?)
}

async fn make(db: &PgPool, table: &str, name: &str, from: &str, to: &str) -> Result<(), Error> {
    // Rows go with their partition and hardly change before: to vacuum it would be in vain.
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table}
         FOR VALUES FROM ('{from}') TO ('{to}') WITH (autovacuum_enabled = false)"
    );
    match alter(db, statement).await {
        // Another process made it at the same moment, or the default partition holds rows of that
        // time already: they stay there, and are found there.
        Err(Error::Database(sqlx::Error::Database(error)))
            if matches!(error.code().as_deref(), Some("42P07" | "23514" | "23505" | "42P17")) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Adding and dropping a partition locks the whole table. Behind a long read that would hold up
/// every lane: it is given up at once, and tried again in the next round.
async fn alter(db: &PgPool, statement: String) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    query("SET LOCAL lock_timeout = '200ms'").execute(&mut *tx).await?;
    match query(AssertSqlSafe(statement)).execute(&mut *tx).await {
        Ok(_) => Ok(tx.commit().await?),
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            info!("somebody reads a table for long: its partitions are seen to in the next round");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Of Postgres' error codes.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Failures of long ago count no more: the record is gone from its topic.
async fn forget_culprits(messaging: &Messaging) -> Result<(), Error> {
    query("DELETE FROM inbox_culprit WHERE failed_at < now() - make_interval(secs => $1)")
        .bind(messaging.options.kafka.retention.as_secs_f64())
        .execute(&messaging.db)
        .await?;
    Ok(())
}

async fn is_published(db: &PgPool, partition: &str) -> Result<bool, Error> {
    let statement = format!(
        "SELECT NOT EXISTS (
            SELECT FROM {partition} AS row JOIN outbox_lane AS lane USING (lane)
            WHERE row.seq > lane.published_seq
        )"
    );
    Ok(query_scalar(AssertSqlSafe(statement)).fetch_one(db).await?)
}

async fn lanes_behind(messaging: &Messaging) -> Result<Behind, Error> {
    let lanes: Vec<(String, i64, i64)> = query_as(
        "SELECT lane, published_seq, last_seq FROM outbox_lane WHERE last_seq > published_seq",
    )
    .fetch_all(&messaging.db)
    .await?;
    let backlog: i64 =
        lanes.iter().map(|(_, published_seq, last_seq)| last_seq - published_seq).sum();
    metrics::gauge!("outbox_backlog", "of" => messaging.options.service).set(backlog as f64);
    Ok(lanes.into_iter().map(|(lane, published_seq, _)| (lane, published_seq)).collect())
}

/// Publishes what a process left that does not come back. A lane with a living owner is left alone.
/// On an own thread, as publishing waits while the producer's queue is full.
async fn adopt(messaging: &Messaging, lane: &str) -> Result<(), Error> {
    let (messaging, lane) = (messaging.clone(), lane.to_owned());
    on_own_thread(format!("{lane} adopted"), move || {
        own_runtime()?.block_on(async {
            let Options { database_url, service, .. } = &*messaging.options;
            let adopted = Lane::try_claim(database_url, &lane, service, &messaging.relay).await?;
            let Some(mut adopted) = adopted else { return Ok(()) };
            info!(lane, "published what its owner left");
            adopted.settle().await
        })
    })
    .await
}
