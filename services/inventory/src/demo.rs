//! What the service says by itself when it starts: a catalogue to try things with, if it is wanted,
//! and every item that is listed, for whoever lost what was said before.

use std::time::Duration;

use messaging::{Writes, writer::NotWritten};
use sqlx::{PgPool, query_scalar};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    catalog::{Change, Restock},
    desk::Desk,
};

/// Lists the demo catalogue when it is wanted and nothing is listed, tells all of every item, and
/// waits for the end.
pub(crate) async fn announce(
    db: PgPool,
    desk: Writes<Desk>,
    demo_catalog: bool,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // The database's work is not dropped half-way: the pool could not tell.
    let mut pause = FIRST_PAUSE;
    while let Err(error) = try_announce(&db, &desk, demo_catalog).await {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        warn!(error = format!("{error:#}"), "telling of the catalogue, trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    shutdown.cancelled().await;
    Ok(())
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

async fn try_announce(db: &PgPool, desk: &Writes<Desk>, demo_catalog: bool) -> anyhow::Result<()> {
    if demo_catalog {
        let is_empty: bool =
            query_scalar("SELECT NOT EXISTS (SELECT FROM item)").fetch_one(db).await?;
        if is_empty {
            desk.write(demo_changes()).await?;
            info!(items = DEMO_ITEMS.len(), "listed the demo catalogue");
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

/// Items in one transaction.
const ANNOUNCED_AT_ONCE: i64 = 200;

/// Name, price in euro cents and pieces of `SKU-1`, `SKU-2`, …
const DEMO_ITEMS: [(&str, i64, i64); 9] = [
    ("Espresso cup", 1_290, 1_000_000),
    ("Teapot, 1 litre", 3_450, 1_000_000),
    ("Linen notebook", 990, 1_000_000),
    ("Fountain pen", 4_900, 1_000_000),
    ("Desk lamp", 7_995, 1_000_000),
    ("Wool blanket", 8_900, 1_000_000),
    ("Walnut bookend", 2_750, 1_000_000),
    ("Travel adapter", 1_999, 1_000_000),
    ("Grandfather clock, the last one", 249_000, 1),
];

fn demo_changes() -> Vec<Change> {
    let changes = |(index, (name, price_minor, quantity)): (usize, &(&str, i64, i64))| {
        let sku = format!("SKU-{}", index + 1);
        let restock = Restock { sku: sku.clone(), quantity: *quantity };
        let (name, currency) = ((*name).to_owned(), "EUR".to_owned());
        [
            Change::Put { sku: sku.clone(), name, price_minor: *price_minor, currency },
            Change::Restock { request_id: format!("demo-catalog-{sku}"), restock },
        ]
    };
    DEMO_ITEMS.iter().enumerate().flat_map(changes).collect()
}
