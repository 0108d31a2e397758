//! What the processes of all tests have counted.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};

static COUNTERS: LazyLock<Mutex<HashMap<Key, Arc<AtomicU64>>>> = LazyLock::new(Mutex::default);

/// Counting begins with the first world that is made.
pub(crate) fn count() {
    // Another test was first.
    metrics::set_global_recorder(Counted).ok();
}

pub(crate) fn counted(name: &'static str, label: &'static str, value: &'static str) -> u64 {
    look_up(&Key::from_parts(name, vec![Label::new(label, value)]))
}

/// Of a counter without labels: all tests together.
pub(crate) fn counted_by_all(name: &'static str) -> u64 {
    look_up(&Key::from_name(name))
}

fn look_up(key: &Key) -> u64 {
    COUNTERS.lock().unwrap().get(key).map_or(0, |counter| counter.load(Ordering::Relaxed))
}

struct Counted;

impl Recorder for Counted {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = COUNTERS.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(key.clone()).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }

    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
}
