//! Tells again of orders that nobody decides. An order stands in Postgres once it is acknowledged,
//! but its saga starts with a record in Kafka: should that one be lost, this starts it all the same.
//! The coordinator starts a saga once per order, so telling too often does no harm.

use std::time::Duration;

use messaging::{Writes, writer::NotWritten};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::writes::{OrderWriter, Write, Written};

/// Orders that are told again in one transaction.
pub(crate) const ANNOUNCE_LIMIT: i64 = 500;
/// How often to look, at most.
const ROUND_MAX: Duration = Duration::from_secs(2);

pub(crate) async fn run(
    writes: Writes<OrderWriter>,
    after: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval((after / 4).min(ROUND_MAX));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        // Rows that another request changes at this moment may be left out: they come next time.
        match writes.write(Write::AnnounceAgain).await {
            Ok(Written::AnnouncedAgain(0) | Written::Order(_) | Written::Refused(_)) => {}
            Ok(Written::AnnouncedAgain(order_count)) => {
                metrics::counter!("orders_announced_again_total").increment(order_count);
                info!(order_count, "told again of orders that are not decided");
            }
            // Who writes has ended: the process follows, and says why.
            Err(NotWritten::Stopping) => shutdown.cancelled().await,
            Err(error) => warn!(%error, "telling again of orders"),
        }
    }
}
