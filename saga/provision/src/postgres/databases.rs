//! Databases on any Postgres, ours or not.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Error;

/// What Postgres answers when another client was faster: the database exists, or just came to be.
const ALREADY_THERE: [&str; 2] = ["42P04", "23505"];

/// Creates those of the databases that do not exist.
///
/// `admin_url` leads to any existing database, by a user who may create others.
pub async fn create_databases(admin_url: &str, names: &[&str]) -> Result<(), Error> {
    let mut admin = PgConnection::connect(admin_url)
        .await
        .map_err(Error::sql("connecting to Postgres to create databases"))?;
    for name in names {
        create(&mut admin, name).await?;
    }
    admin.close().await.map_err(Error::sql("closing the connection that created databases"))
}

async fn create(admin: &mut PgConnection, name: &str) -> Result<(), Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut *admin)
            .await
            .map_err(Error::sql(format!("looking for database \"{name}\"")))?;
    if exists {
        return Ok(());
    }
    // The name cannot be a parameter; as a quoted identifier it cannot be anything but a name.
    let quoted = name.replace('"', "\"\"");
    let statement = AssertSqlSafe(format!("CREATE DATABASE \"{quoted}\""));
    match sqlx::raw_sql(statement).execute(admin).await {
        Err(error) if !is_already_there(&error) => {
            Err(Error::Sql { doing: format!("creating database \"{name}\""), source: error })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_already_there(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| ALREADY_THERE.contains(&code.as_ref()))
}
