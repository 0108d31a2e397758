//! Tells all of every item that is listed: when the service starts, and now and then, for whoever lost
//! what was said before. An item's revision makes it harmless to tell it again.

use std::time::Duration;

use messaging::{Writes, writer::NotWritten};
use sqlx::{PgPool, query_scalar};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{catalog::Change, demo, desk::Desk};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Items in one transaction.
const ANNOUNCED_AT_ONCE: i64 = 200;

/// Lists the demo catalogue when it is wanted and nothing is listed; tells all of every item, and
/// again after each interval.
pub(crate) async fn run(
    db: PgPool,
    desk: Writes<Desk>,
    demo_catalog: bool,
    interval: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut is_demo_wanted = demo_catalog;
    let mut pause_after_failure = FIRST_PAUSE;
    loop {
        // The database's work is not dropped half-way: the pool could not tell.
        let pause = match announce(&db, &desk, is_demo_wanted).await {
            Ok(()) => {
                is_demo_wanted = false;
                pause_after_failure = FIRST_PAUSE;
                interval
            }
            Err(_) if shutdown.is_cancelled() => return Ok(()),
            Err(error) => {
                warn!(error = format!("{error:#}"), "telling of the catalogue, trying again");
                let pause = pause_after_failure;
                pause_after_failure = (pause * 2).min(LONGEST_PAUSE);
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn announce(db: &PgPool, desk: &Writes<Desk>, is_demo_wanted: bool) -> anyhow::Result<()> {
    if is_demo_wanted {
        let is_empty: bool =
            query_scalar("SELECT NOT EXISTS (SELECT FROM item)").fetch_one(db).await?;
        if is_empty {
            desk.write(demo::changes()).await?;
            info!("listed the demo catalogue");
            return Ok(());
        }
    }
    let item_count = announce_all(db, desk).await?;
    info!(items = item_count, "told of the catalogue");
    Ok(())
}

async fn announce_all(db: &PgPool, desk: &Writes<Desk>) -> anyhow::Result<usize> {
    let mut item_count = 0;
    let mut after = String::new();
    loop {
        let skus: Vec<String> =
            query_scalar("SELECT sku FROM item WHERE sku > $1 ORDER BY sku LIMIT $2")
                .bind(&after)
                .bind(ANNOUNCED_AT_ONCE)
                .fetch_all(db)
                .await?;
        let Some(last) = skus.last() else { return Ok(item_count) };
        after.clone_from(last);
        item_count += skus.len();
        let page: Vec<Change> = skus.into_iter().map(|sku| Change::Announce { sku }).collect();
        while let Err(not_written) = desk.write(page.clone()).await {
            match not_written {
                NotWritten::Busy => tokio::time::sleep(FIRST_PAUSE).await,
                NotWritten::Stopping | NotWritten::Unavailable(_) | NotWritten::Failed(_) => {
                    return Err(not_written.into());
                }
            }
        }
    }
}
