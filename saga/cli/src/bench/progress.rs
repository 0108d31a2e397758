//! One line a second on stderr.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::Instant};

use super::ledger::{Counts, Ledger};
use crate::{output::talk, units};

pub(super) fn start(ledger: Arc<Ledger>, begun_at: Instant, warmup: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval_at(begun_at + SECOND, SECOND);
        let mut before = Counts::default();
        loop {
            ticks.tick().await;
            let now = ledger.counts();
            let elapsed = begun_at.elapsed();
            let latencies =
                if elapsed < warmup { "warming up".to_owned() } else { latencies(&ledger) };
            talk(&format!(
                "{:>4} s  sent {:>6}/s  ended {:>6}/s  open {:>6}  failed {}  {latencies}",
                elapsed.as_secs(),
                units::count(now.sent - before.sent),
                units::count(now.ended() - before.ended()),
                units::count(ledger.open_count() as u64),
                units::count(now.failed),
            ));
            before = now;
        }
    })
}

fn latencies(ledger: &Ledger) -> String {
    let Some((acknowledged_p50, ended_p50, ended_p99)) = ledger.recent() else {
        return String::new();
    };
    let written = |us| units::brief(Duration::from_micros(us));
    format!(
        "taken p50 {}, ended p50 {} p99 {}",
        written(acknowledged_p50),
        written(ended_p50),
        written(ended_p99)
    )
}

const SECOND: Duration = Duration::from_secs(1);
