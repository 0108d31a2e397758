//! Before the first message: which sagas there are, and whether those under way are among them.

use anyhow::{Context, bail};
use saga_core::{Registry, Version};
use sqlx::{PgPool, query, query_as};
use tracing::warn;

/// Stores the definitions. Fails when a saga is under way whose version is not registered, because
/// nobody could go on with it.
pub(crate) async fn register(
    db: &PgPool,
    registry: &Registry,
    allow_unregistered: bool,
) -> anyhow::Result<()> {
    for saga in registry.sagas() {
        let Version { saga: name, hash } = saga.version();
        query(
            "INSERT INTO saga_definition (name, version, definition) VALUES ($1, $2, $3)
             ON CONFLICT (name, version) DO UPDATE SET definition = excluded.definition",
        )
        .bind(name)
        .bind(hash)
        .bind(serde_json::to_value(saga.definition())?)
        .execute(db)
        .await
        .context("storing the definitions")?;
    }
    let under_way: Vec<(String, String, i64)> = query_as(
        "SELECT definition, version, count(*) FROM saga WHERE ended_at IS NULL
         GROUP BY definition, version",
    )
    .fetch_all(db)
    .await?;
    for (saga, hash, count) in under_way {
        let version = Version { saga, hash };
        if registry.saga(&version).is_some() {
            continue;
        }
        if !allow_unregistered {
            bail!(
                "sagas of {version} are under way ({count}), and this build does not know that \
                 version: nobody could go on with them. Register the former definition with \
                 `Registry::former`, or let the build that knows it finish them, or start the \
                 coordinator with --allow-unregistered: then they wait for a build that knows them"
            );
        }
        warn!(%version, count, "under way and not registered: left to a build that knows them");
    }
    Ok(())
}
