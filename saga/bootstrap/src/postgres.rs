//! The connection pool of a process, on a Postgres that keeps what it has acknowledged.

use std::{borrow::Cow, io, time::Duration};

use anyhow::{Context, bail};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;

/// Which Postgres, and how much of it.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`
    pub url: String,
    pub max_connections: u32,
    /// Accept `fsync`, `full_page_writes` or `synchronous_commit` off, as throw-away test clusters
    /// have them.
    pub allow_unsafe: bool,
}

/// Connects a pool; waits for a server that is just starting.
///
/// # Errors
/// An unreadable URL, a server that refuses or does not answer for 20 s, or one that can lose
/// committed data.
pub async fn postgres(options: &PostgresOptions) -> anyhow::Result<PgPool> {
    let connect: PgConnectOptions =
        options.url.parse().context("the Postgres URL cannot be read; write it like 'postgres://user:password@127.0.0.1:5432/order'")?;
    let connect = if connect.get_application_name().is_none() {
        connect.application_name(&program_name())
    } else {
        connect
    };
    let place = format!(
        "{}:{}/{}",
        connect.get_host(),
        connect.get_port(),
        connect.get_database().unwrap_or_default()
    );
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_release(|connection, _| {
            Box::pin(async move {
                // sqlx 0.9.0 forgets a BEGIN whose future was dropped (sqlx#4393), and the next
                // borrower's writes would vanish with it. BEGIN keeps the usual, clean case free
                // of "there is no transaction in progress" in the server's log.
                sqlx::raw_sql("BEGIN; ROLLBACK").execute(connection).await?;
                Ok(true)
            })
        })
        .connect_lazy_with(connect.clone());

    answered(&connect).await.with_context(|| format!("connecting to Postgres at {place}"))?;
    if !options.allow_unsafe {
        refuse_unsafe(&pool).await.with_context(|| format!("checking Postgres at {place}"))?;
    }
    Ok(pool)
}

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

fn program_name() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name()?.to_str());
    name.unwrap_or("saga").to_owned()
}

/// Not through the pool, which tries again by itself and forgets why it had to.
async fn answered(connect: &PgConnectOptions) -> anyhow::Result<()> {
    let give_up_at = Instant::now() + START_DEADLINE;
    let mut is_first = true;
    loop {
        match connected(connect).await {
            Ok(connection) => return Ok(connection.close().await?),
            Err(error) if code(&error).as_deref() == Some(NO_SUCH_DATABASE) => {
                let name = connect.get_database().unwrap_or_default();
                return Err(error)
                    .with_context(|| format!("create the database, as with `createdb {name}`"));
            }
            Err(error) if !may_be_starting(&error) || Instant::now() > give_up_at => {
                return Err(error.into());
            }
            Err(error) => {
                if std::mem::take(&mut is_first) {
                    tracing::info!(%error, give_up_after = ?START_DEADLINE, "waiting for Postgres");
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

async fn connected(connect: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let connection = PgConnection::connect_with(connect);
    let in_time = tokio::time::timeout(ACQUIRE_TIMEOUT, connection).await;
    in_time.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

const START_DEADLINE: Duration = Duration::from_secs(20);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

fn may_be_starting(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || code(error).as_deref() == Some(CANNOT_CONNECT_NOW)
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

const CANNOT_CONNECT_NOW: &str = "57P03";
const NO_SUCH_DATABASE: &str = "3D000";

async fn refuse_unsafe(pool: &PgPool) -> anyhow::Result<()> {
    // As this session has them: a role, a database or the URL can set the last one too.
    let off: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pg_settings
         WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
         ORDER BY name",
    )
    .fetch_all(pool)
    .await?;
    if !off.is_empty() {
        bail!(
            "Postgres runs with {} off, so that a crash can lose committed orders: turn it on in \
             postgresql.conf, or wherever the role, the database or the URL sets it; or pass \
             --allow-unsafe-postgres for data that may be lost",
            off.join(" and ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
