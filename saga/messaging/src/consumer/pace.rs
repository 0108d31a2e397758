//! When the next transaction of a lane may start.

use std::time::{Duration, Instant};

/// Minimum time between the starts of two transactions of a busy lane.
const BUSY_GAP: Duration = Duration::from_millis(8);
/// A lane is busy from this many records per window on.
const BUSY_RECORDS: usize = 40;
const WINDOW: Duration = Duration::from_millis(250);

/// Starts of transactions, spaced when there is much to do: fewer and larger ones cost less, and
/// shorten the queues before the broker. Nothing waits when there is little to do.
pub(crate) struct Pace {
    last_start: Instant,
    window_start: Instant,
    /// Records since `window_start`.
    record_count: usize,
    busy: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Pace { last_start: now, window_start: now, record_count: 0, busy: false }
    }

    /// How long to wait before the next transaction may start.
    pub(crate) fn gap(&self, now: Instant) -> Duration {
        if self.busy {
            BUSY_GAP.saturating_sub(now.duration_since(self.last_start))
        } else {
            Duration::ZERO
        }
    }

    /// A transaction with that many records starts.
    pub(crate) fn starts(&mut self, now: Instant, record_count: usize) {
        self.last_start = now;
        self.record_count += record_count;
        let window = now.duration_since(self.window_start);
        if window >= WINDOW {
            // A window that was left open by silence is no sign of much to do.
            self.busy = self.record_count >= BUSY_RECORDS && window < WINDOW * 2;
            self.record_count = 0;
            self.window_start = now;
        }
    }
}

#[cfg(test)]
mod tests;
