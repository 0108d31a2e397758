//! What has to be looked after while a process runs: missing topics, time partitions, and outbox
//! rows of lanes whose owner does not come back.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::{Error, Messaging, Options, error::chain, lane::Lane, rotation::By, topics};

/// How often to look.
const ROUND: Duration = Duration::from_secs(5);
/// Who adopts a lane waits this often, and this long, for the broker.
const SETTLE_TRIES: u32 = 50;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// Brings the tables of this crate up to date.
pub async fn migrate(db: &PgPool) -> Result<(), Error> {
    let mut migrator = sqlx::migrate!("../../migrations/messaging");
    // Beside the service's own migrations in one database.
    migrator.dangerous_set_table_name("messaging_migrations");
    Ok(migrator.run(db).await?)
}

pub(crate) async fn run(messaging: &Messaging) -> Result<(), Error> {
    let mut ticks = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = messaging.shutdown.cancelled() => return Ok(()),
        }
        if let Err(error) = round(messaging).await {
            warn!(error = chain(&error), "housekeeping");
        }
    }
}

async fn round(messaging: &Messaging) -> Result<(), Error> {
    let options = &messaging.options;
    topics::ensure(&options.kafka, &topics::with_dead_letters(&options.topics)).await?;
    rotate(&messaging.db, options).await?;
    adopt_lanes(messaging).await
}

/// Makes the partitions for the time ahead and drops those that are over.
pub(crate) async fn rotate(db: &PgPool, options: &Options) -> Result<(), Error> {
    let now = OffsetDateTime::now_utc();
    let tables = [
        ("outbox", By::Hour, options.outbox_retention),
        ("inbox_command", By::UuidDay, options.inbox_horizon),
        ("inbox_event", By::UuidDay, options.inbox_horizon),
    ];
    for (table, by, keep) in tables {
        let present = partitions(db, table).await?;
        for wanted in by.wanted(table, now) {
            if !present.contains(&wanted.name) {
                make(db, table, &wanted.name, &wanted.from, &wanted.to).await?;
            }
        }
        let keep = time::Duration::try_from(keep).unwrap_or(time::Duration::MAX);
        for name in present.iter().filter(|name| by.is_over(table, name, now, keep)) {
            if table != "outbox" || is_published(db, name).await? {
                info!(partition = name, "dropping a partition that is over");
                query(AssertSqlSafe(format!("DROP TABLE IF EXISTS {name}"))).execute(db).await?;
            }
        }
    }
    Ok(())
}

async fn partitions(db: &PgPool, table: &str) -> Result<Vec<String>, Error> {
    let names = query_scalar(
        "SELECT child.relname::text FROM pg_inherits
         JOIN pg_class AS child ON child.oid = inhrelid
         WHERE inhparent = $1::regclass",
    );
    Ok(names.bind(table).fetch_all(db).await?)
}

async fn make(db: &PgPool, table: &str, name: &str, from: &str, to: &str) -> Result<(), Error> {
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ('{from}') TO ('{to}')"
    );
    match query(AssertSqlSafe(statement)).execute(db).await {
        Ok(_) => Ok(()),
        // Another process made it at the same moment, or the default partition holds rows of that
        // time already: they stay there, and are found there.
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("42P07" | "23514" | "23505" | "42P17")) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
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

/// Publishes what a process left that does not come back. Lanes with a living owner are left alone.
async fn adopt_lanes(messaging: &Messaging) -> Result<(), Error> {
    let behind: Vec<(String, i64)> = query_as(
        "SELECT lane, last_seq - published_seq FROM outbox_lane WHERE last_seq > published_seq",
    )
    .fetch_all(&messaging.db)
    .await?;
    let backlog: i64 = behind.iter().map(|(_, rows)| rows).sum();
    metrics::gauge!("outbox_backlog").set(backlog as f64);
    let Options { database_url, service, .. } = &*messaging.options;
    for (name, _) in behind {
        let adopted = Lane::adopt(database_url, &name, service, &messaging.relay).await?;
        let Some(mut lane) = adopted else { continue };
        info!(lane = name, "published what its owner left");
        for _ in 0..SETTLE_TRIES {
            lane.idle().await?;
            if lane.is_settled() {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }
    Ok(())
}
