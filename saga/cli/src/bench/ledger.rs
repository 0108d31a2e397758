//! What was sent, what became of it, and when: the one place that the tasks of a bench share.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::{CreationError, Histogram};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};
use uuid::Uuid;

/// How a saga ended, as the coordinator or the order service tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Confirmed,
    Cancelled,
}

/// An order that was taken and has not ended, with its place among the open ones.
#[derive(Debug)]
struct Open {
    intended_at: Instant,
    _place: OwnedSemaphorePermit,
}

/// Counts over the whole load, warm-up included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
    pub(super) confirmed: u64,
    pub(super) cancelled: u64,
}

impl Counts {
    pub(super) fn ended(&self) -> u64 {
        self.confirmed + self.cancelled
    }
}

/// What came of the measured time.
#[derive(Debug)]
pub(super) struct Measured {
    /// Of orders that were to be sent within it, whenever they were answered and ended.
    pub(super) counts: Counts,
    /// Of any orders, what ended within it: for the throughput.
    pub(super) ended_in_time: u64,
    pub(super) confirmed_in_time: u64,
    /// Of orders that were to be sent within the measured time: in microseconds, from that time.
    pub(super) acknowledged: Histogram<u64>,
    /// Of the same orders: to the saga's end, even if it came after the measured time.
    pub(super) ended: Histogram<u64>,
    /// Sagas whose end nobody told: found by asking, so without a latency.
    pub(super) found_by_asking: u64,
    pub(super) open_max: usize,
    pub(super) failures: HashMap<String, u64>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    ended: Notify,
}

#[derive(Debug)]
struct Inner {
    measured_time: Range<Instant>,
    open: HashMap<Uuid, Open>,
    unanswered: usize,
    /// Ends that were told before the order's acknowledgement arrived; those of other clients stay.
    early: HashMap<Uuid, (Instant, End)>,
    early_order: VecDeque<Uuid>,
    counts: Counts,
    measured: Measured,
    sample: Vec<Uuid>,
    sample_stride: u64,
}

impl Ledger {
    /// # Errors
    /// None that can be met: the histograms' range is a constant.
    pub(super) fn new(measured_time: Range<Instant>) -> Result<Self, CreationError> {
        Ok(Self {
            inner: Mutex::new(Inner {
                measured_time,
                open: HashMap::new(),
                unanswered: 0,
                early: HashMap::new(),
                early_order: VecDeque::new(),
                counts: Counts::default(),
                measured: Measured {
                    counts: Counts::default(),
                    ended_in_time: 0,
                    confirmed_in_time: 0,
                    acknowledged: histogram()?,
                    ended: histogram()?,
                    found_by_asking: 0,
                    open_max: 0,
                    failures: HashMap::new(),
                },
                sample: Vec::new(),
                sample_stride: 1,
            }),
            ended: Notify::new(),
        })
    }

    /// The load ended, perhaps early: what happens from now on is no part of what was measured. Gives
    /// how long was.
    pub(super) fn end_measuring(&self) -> Duration {
        let mut inner = self.lock();
        let Range { start, end } = &mut inner.measured_time;
        *end = Instant::now().min(*end);
        end.saturating_duration_since(*start)
    }

    pub(super) fn sent(&self, at: Instant) {
        let mut inner = self.lock();
        inner.unanswered += 1;
        inner.counts.sent += 1;
        inner.measured.counts.sent += u64::from(inner.measured_time.contains(&at));
    }

    pub(super) fn acknowledged(&self, id: Uuid, intended_at: Instant, place: OwnedSemaphorePermit) {
        let now = Instant::now();
        let mut inner = self.lock();
        let is_measured = inner.measured_time.contains(&now);
        inner.unanswered -= 1;
        inner.counts.acknowledged += 1;
        // However late the answer: leaving out the late ones would flatter.
        if inner.measured_time.contains(&intended_at) {
            let latency = micros(now.saturating_duration_since(intended_at));
            inner.measured.counts.acknowledged += 1;
            inner.measured.acknowledged.saturating_record(latency);
            inner.take_sample(id);
        }
        inner.open.insert(id, Open { intended_at, _place: place });
        if let Some((at, end)) = inner.early.remove(&id) {
            self.close(&mut inner, id, Some(at), end);
        }
        let open = inner.open.len() + inner.unanswered;
        if is_measured {
            inner.measured.open_max = inner.measured.open_max.max(open);
        }
    }

    pub(super) fn failed(&self, code: tonic::Code, intended_at: Instant) {
        let mut inner = self.lock();
        inner.unanswered -= 1;
        inner.counts.failed += 1;
        if inner.measured_time.contains(&intended_at) {
            inner.measured.counts.failed += 1;
        }
        *inner.measured.failures.entry(format!("{code:?}")).or_default() += 1;
        self.ended.notify_waiters();
    }

    /// The coordinator told that these ended just now; some may be orders of other clients.
    pub(super) fn told_ended(&self, ends: impl IntoIterator<Item = (Uuid, End)>) {
        let now = Instant::now();
        let mut inner = self.lock();
        for (id, end) in ends {
            if inner.open.contains_key(&id) {
                self.close(&mut inner, id, Some(now), end);
            } else if inner.unanswered > 0 {
                inner.remember_early(id, now, end);
            }
        }
    }

    /// The order service was asked, and said that this one has ended some time ago.
    pub(super) fn found_ended(&self, id: Uuid, end: End) {
        let mut inner = self.lock();
        self.close(&mut inner, id, None, end);
    }

    /// Open for longer than this: their ends may have been missed.
    pub(super) fn open_for(&self, age: Duration, limit: usize) -> Vec<Uuid> {
        let inner = self.lock();
        let old = inner.open.iter().filter(|(_, open)| open.intended_at.elapsed() > age);
        old.map(|(id, _)| *id).take(limit).collect()
    }

    pub(super) fn open_count(&self) -> usize {
        let inner = self.lock();
        inner.open.len() + inner.unanswered
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Latencies from the send time that was intended, in microseconds: p50 to the acknowledgement, p50
    /// and p99 to the end. Nothing before the first end.
    pub(super) fn recent(&self) -> Option<(u64, u64, u64)> {
        let inner = self.lock();
        let Measured { acknowledged, ended, .. } = &inner.measured;
        (!ended.is_empty()).then(|| {
            (
                acknowledged.value_at_quantile(0.5),
                ended.value_at_quantile(0.5),
                ended.value_at_quantile(0.99),
            )
        })
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Measured) -> T) -> T {
        read(&self.lock().measured)
    }

    /// Some measured orders, spread evenly over the load.
    pub(super) fn sample(&self) -> Vec<Uuid> {
        self.lock().sample.clone()
    }

    /// Waits until nothing is open; gives how long it took, or nothing when it took too long.
    pub(super) async fn drained(&self, patience: Duration) -> Option<Duration> {
        let began_at = Instant::now();
        let nothing_open = async {
            loop {
                let ended = self.ended.notified();
                if self.open_count() == 0 {
                    break;
                }
                // A glance now and then, should the last end slip in before the wait.
                let _ = tokio::time::timeout(GLANCE, ended).await;
            }
        };
        tokio::time::timeout(patience, nothing_open).await.ok().map(|()| began_at.elapsed())
    }

    fn close(&self, inner: &mut Inner, id: Uuid, at: Option<Instant>, end: End) {
        let Some(open) = inner.open.remove(&id) else { return };
        inner.counts.count(end);
        if inner.measured_time.contains(&open.intended_at) {
            inner.measured.counts.count(end);
        }
        if inner.measured_time.contains(&at.unwrap_or_else(Instant::now)) {
            inner.measured.ended_in_time += 1;
            inner.measured.confirmed_in_time += u64::from(end == End::Confirmed);
        }
        match at {
            Some(at) if inner.measured_time.contains(&open.intended_at) => {
                let latency = micros(at.saturating_duration_since(open.intended_at));
                inner.measured.ended.saturating_record(latency);
            }
            Some(_) => {}
            None => inner.measured.found_by_asking += 1,
        }
        self.ended.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn count(&mut self, end: End) {
        match end {
            End::Confirmed => self.confirmed += 1,
            End::Cancelled => self.cancelled += 1,
        }
    }
}

impl Inner {
    fn remember_early(&mut self, id: Uuid, at: Instant, end: End) {
        if self.early.insert(id, (at, end)).is_none() {
            self.early_order.push_back(id);
        }
        while self.early_order.len() > EARLY_MAX {
            if let Some(oldest) = self.early_order.pop_front() {
                self.early.remove(&oldest);
            }
        }
    }

    /// Keeps between half of [`SAMPLE_MAX`] and all of it, at equal distances.
    fn take_sample(&mut self, id: Uuid) {
        if !self.measured.acknowledged.len().is_multiple_of(self.sample_stride) {
            return;
        }
        self.sample.push(id);
        if self.sample.len() >= SAMPLE_MAX {
            let mut index = 0;
            self.sample.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            self.sample_stride *= 2;
        }
    }
}

fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Ten minutes.
const LATENCY_MAX_US: u64 = 600_000_000;
const GLANCE: Duration = Duration::from_millis(50);
const EARLY_MAX: usize = 100_000;
const SAMPLE_MAX: usize = 400;

#[cfg(test)]
mod tests;
