use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;

struct Load {
    ledger: Ledger,
    places: Arc<Semaphore>,
}

impl Load {
    fn new() -> Self {
        let now = Instant::now();
        let ledger = Ledger::new(now..now + Duration::from_secs(60)).unwrap();
        Self { ledger, places: Arc::new(Semaphore::new(10)) }
    }

    fn place(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).try_acquire_owned().unwrap()
    }

    fn taken(&self) -> Uuid {
        let (id, now) = (Uuid::now_v7(), Instant::now());
        self.ledger.sent(now);
        self.ledger.acknowledged(id, now, self.place());
        id
    }
}

#[test]
fn an_open_order_keeps_its_place_until_it_ends() {
    let load = Load::new();
    let id = load.taken();
    assert_eq!((load.ledger.open_count(), load.places.available_permits()), (1, 9));

    load.ledger.told_ended([(id, End::Confirmed)]);
    assert_eq!((load.ledger.open_count(), load.places.available_permits()), (0, 10));
    assert_eq!(load.ledger.counts().confirmed, 1);
    assert_eq!(load.ledger.read(|measured| measured.ended.len()), 1);
}

#[test]
fn an_end_told_before_the_acknowledgement_counts_once() {
    let load = Load::new();
    let (id, now) = (Uuid::now_v7(), Instant::now());
    load.ledger.sent(now);
    load.ledger.told_ended([(id, End::Cancelled)]);
    assert_eq!(load.ledger.counts().cancelled, 0);

    load.ledger.acknowledged(id, now, load.place());
    load.ledger.told_ended([(id, End::Cancelled)]);
    assert_eq!((load.ledger.counts().cancelled, load.ledger.open_count()), (1, 0));
}

#[test]
fn orders_of_other_clients_do_not_count() {
    let load = Load::new();
    load.taken();
    load.ledger.told_ended([(Uuid::now_v7(), End::Confirmed)]);
    assert_eq!((load.ledger.counts().ended(), load.ledger.open_count()), (0, 1));
}

#[test]
fn an_end_found_by_asking_has_no_latency() {
    let load = Load::new();
    let id = load.taken();
    load.ledger.found_ended(id, End::Confirmed);
    load.ledger.found_ended(id, End::Confirmed);
    assert_eq!(load.ledger.counts().confirmed, 1);
    let (timed, asked) =
        load.ledger.read(|measured| (measured.ended.len(), measured.found_by_asking));
    assert_eq!((timed, asked), (0, 1));
}

#[test]
fn what_happens_after_a_load_that_ended_early_is_not_measured() {
    let load = Load::new();
    let (early, late) = (load.taken(), load.taken());
    load.ledger.told_ended([(early, End::Confirmed)]);
    load.ledger.end_measuring();
    load.ledger.told_ended([(late, End::Confirmed)]);

    assert_eq!(load.ledger.read(|measured| measured.ended_in_time), 1);
    // Both were to be sent within the time: what became of them counts, however late.
    assert_eq!(load.ledger.read(|measured| measured.counts.confirmed), 2);
    assert_eq!(load.ledger.read(|measured| measured.ended.len()), 2);
}

#[test]
fn an_order_that_ends_after_the_measured_time_is_late_and_not_left_out() {
    let now = Instant::now();
    let past = now.checked_sub(Duration::from_secs(1)).unwrap();
    let load = Load { ledger: Ledger::new(past..now).unwrap(), ..Load::new() };
    let id = Uuid::now_v7();
    load.ledger.sent(past);
    load.ledger.acknowledged(id, past, load.place());
    load.ledger.told_ended([(id, End::Confirmed)]);
    let (counted, in_time, timed) = load
        .ledger
        .read(|measured| (measured.counts.confirmed, measured.ended_in_time, measured.ended.len()));
    assert_eq!((counted, in_time, timed), (1, 0, 1));
}

#[test]
fn a_failed_request_is_not_open() {
    let load = Load::new();
    let now = Instant::now();
    load.ledger.sent(now);
    load.ledger.failed(tonic::Code::Unavailable, now);
    assert_eq!((load.ledger.counts().failed, load.ledger.open_count()), (1, 0));
    assert_eq!(load.ledger.read(|measured| measured.failures["Unavailable"]), 1);
}

#[tokio::test]
async fn the_drain_ends_with_the_last_order() {
    let load = Load::new();
    let id = load.taken();
    assert_eq!(load.ledger.drained(Duration::from_millis(20)).await, None);
    let (drained, ()) = tokio::join!(load.ledger.drained(Duration::from_secs(5)), async {
        load.ledger.told_ended([(id, End::Confirmed)]);
    });
    assert!(drained.is_some());
}

#[test]
fn the_sample_is_spread_and_bounded() {
    let load = Load::new();
    let ids: Vec<_> = (0..2_000)
        .map(|_| {
            let id = load.taken();
            load.ledger.told_ended([(id, End::Confirmed)]);
            id
        })
        .collect();
    let sample = load.ledger.sample();
    assert!((SAMPLE_MAX / 2..=SAMPLE_MAX).contains(&sample.len()), "{}", sample.len());
    let late = sample.iter().filter(|id| ids[1_000..].contains(id)).count();
    assert!(late * 3 > sample.len(), "{late} of {}", sample.len());
}
