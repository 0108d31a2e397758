//! When the next transaction of a lane may start, and how eagerly its records are fetched.

use std::time::{Duration, Instant};

/// For each record a second, so long between the starts of two transactions: the more comes, the
/// larger the batches, while the price of a transaction stays the same.
const GAP_PER_RATE: Duration = Duration::from_nanos(2_500);
/// And not less than so many times what a transaction takes. Where the machine has too much to do they
/// take longer, and fewer and larger ones relieve it.
const GAP_PER_TRANSACTION: u32 = 2;
const LONGEST_GAP: Duration = Duration::from_millis(40);
/// Slower than so many records a second, nothing waits.
const IDLE_RATE: f64 = 150.0;
/// From so many records a second on, they are gathered for a moment before they are fetched.
const BUSY_RATE: f64 = 600.0;
const WINDOW: Duration = Duration::from_millis(250);
/// For so many windows it has to be busy, or not, before it is fetched in the other way.
const WINDOWS_BEFORE_SWITCH: u32 = 8;

/// When the broker answers a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// As soon as there is a record.
    AtOnce,
    /// When there are many, or some milliseconds later: far fewer requests.
    Gathered,
}

/// Starts of transactions, spaced when there is much to do: fewer and larger ones cost less, and
/// shorten the queues before the broker. Nothing waits when there is little to do.
pub(crate) struct Pace {
    last_start: Instant,
    window_start: Instant,
    /// Since `window_start`: records, transactions, and what these took together.
    record_count: usize,
    transaction_count: u32,
    at_work: Duration,
    gap: Duration,
    fetching: Fetching,
    /// Windows in a row that ask for the other way of fetching.
    other_windows: u32,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Pace {
            last_start: now,
            window_start: now,
            record_count: 0,
            transaction_count: 0,
            at_work: Duration::ZERO,
            gap: Duration::ZERO,
            fetching: Fetching::AtOnce,
            other_windows: 0,
        }
    }

    /// How long to wait before the next transaction may start.
    pub(crate) fn gap(&self, now: Instant) -> Duration {
        self.gap.saturating_sub(now.duration_since(self.last_start))
    }

    /// Whether transactions follow one another, at a distance of their own.
    pub(crate) fn is_busy(&self) -> bool {
        !self.gap.is_zero()
    }

    pub(crate) fn fetching(&self) -> Fetching {
        self.fetching
    }

    /// A transaction with that many records starts.
    pub(crate) fn starts(&mut self, now: Instant, record_count: usize) {
        self.last_start = now;
        self.record_count += record_count;
        self.look(now);
    }

    /// The transaction that started last is over.
    pub(crate) fn ends(&mut self, now: Instant) {
        self.transaction_count += 1;
        self.at_work += now.duration_since(self.last_start);
    }

    /// Time has passed.
    pub(crate) fn look(&mut self, now: Instant) {
        let window = now.duration_since(self.window_start);
        if window < WINDOW {
            return;
        }
        // A window that was left open by silence is no sign of much to do.
        let is_fresh = window < WINDOW * 2;
        let rate = if is_fresh { self.record_count as f64 / window.as_secs_f64() } else { 0.0 };
        self.gap = if rate >= IDLE_RATE {
            let transaction = self.at_work / self.transaction_count.max(1);
            let gap = GAP_PER_RATE.mul_f64(rate).max(transaction * GAP_PER_TRANSACTION);
            gap.min(LONGEST_GAP)
        } else {
            Duration::ZERO
        };
        self.record_count = 0;
        self.transaction_count = 0;
        self.at_work = Duration::ZERO;
        self.window_start = now;

        let other = match self.fetching {
            Fetching::AtOnce if rate >= BUSY_RATE => Fetching::Gathered,
            Fetching::Gathered if rate < IDLE_RATE => Fetching::AtOnce,
            Fetching::AtOnce | Fetching::Gathered => {
                self.other_windows = 0;
                return;
            }
        };
        self.other_windows += 1;
        if self.other_windows >= WINDOWS_BEFORE_SWITCH {
            self.fetching = other;
            self.other_windows = 0;
        }
    }
}

#[cfg(test)]
mod tests;
