//! When the next transaction of a lane may start.

use std::time::{Duration, Instant};

/// For each record a second, so long between the starts of two transactions: the more comes, the
/// larger the batches, while the price of a transaction stays the same.
const GAP_PER_RATE: Duration = Duration::from_micros(5);
const LONGEST_GAP: Duration = Duration::from_millis(20);
/// Slower than so many records a second, nothing waits.
const IDLE_RATE: f64 = 150.0;
const WINDOW: Duration = Duration::from_millis(250);

/// Starts of transactions, spaced when there is much to do: fewer and larger ones cost less, and
/// shorten the queues before the broker. Nothing waits when there is little to do.
pub(crate) struct Pace {
    last_start: Instant,
    window_start: Instant,
    /// Records since `window_start`.
    record_count: usize,
    gap: Duration,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Pace { last_start: now, window_start: now, record_count: 0, gap: Duration::ZERO }
    }

    /// How long to wait before the next transaction may start.
    pub(crate) fn gap(&self, now: Instant) -> Duration {
        self.gap.saturating_sub(now.duration_since(self.last_start))
    }

    /// A transaction with that many records starts.
    pub(crate) fn starts(&mut self, now: Instant, record_count: usize) {
        self.last_start = now;
        self.record_count += record_count;
        let window = now.duration_since(self.window_start);
        if window >= WINDOW {
            // A window that was left open by silence is no sign of much to do.
            let is_fresh = window < WINDOW * 2;
            let rate = self.record_count as f64 / window.as_secs_f64();
            self.gap = if is_fresh && rate >= IDLE_RATE {
                GAP_PER_RATE.mul_f64(rate).min(LONGEST_GAP)
            } else {
                Duration::ZERO
            };
            self.record_count = 0;
            self.window_start = now;
        }
    }
}

#[cfg(test)]
mod tests;
