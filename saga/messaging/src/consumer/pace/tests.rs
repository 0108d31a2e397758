use std::time::{Duration, Instant};

use super::{Fetching, LONGEST_GAP, Pace, WINDOW, WINDOWS_BEFORE_SWITCH};

const MILLI: Duration = Duration::from_millis(1);

/// Batches of that size, at that distance, for two windows.
fn after(record_count: usize, distance: Duration) -> (Pace, Instant) {
    let mut now = Instant::now();
    let mut pace = Pace::new(now);
    let end = now + WINDOW * 2;
    while now < end {
        now += distance;
        pace.starts(now, record_count);
    }
    (pace, now)
}

#[test]
fn nothing_waits_when_there_is_little_to_do() {
    let (pace, now) = after(1, MILLI * 10);
    assert_eq!(pace.gap(now), Duration::ZERO);
}

#[test]
fn the_more_comes_the_longer_the_gap() {
    let (pace, now) = after(20, MILLI * 10);
    assert_eq!(pace.gap(now), MILLI * 5);
    assert_eq!(pace.gap(now + MILLI), MILLI * 4);
    assert_eq!(pace.gap(now + MILLI * 6), Duration::ZERO);
    let (pace, now) = after(40, MILLI * 10);
    assert_eq!(pace.gap(now), MILLI * 10);
}

#[test]
fn long_transactions_come_at_longer_gaps() {
    let mut now = Instant::now();
    let mut pace = Pace::new(now);
    while pace.gap(now).is_zero() {
        now += MILLI * 12;
        pace.starts(now, 24);
        pace.ends(now + MILLI * 8);
    }
    // The rate alone would ask for 5.
    assert_eq!(pace.gap(now), MILLI * 16);
}

#[test]
fn no_gap_is_longer_than_the_longest() {
    let (pace, now) = after(1_000, MILLI * 10);
    assert_eq!(pace.gap(now), LONGEST_GAP);
}

#[test]
fn a_lane_that_was_silent_is_not_busy() {
    let (mut pace, now) = after(10, MILLI * 10);
    let later = now + WINDOW * 10;
    pace.starts(later, 500);
    assert_eq!(pace.gap(later), Duration::ZERO);
}

#[test]
fn records_are_gathered_once_it_is_busy_for_a_while_and_until_it_is_not() {
    let mut now = Instant::now();
    let mut pace = Pace::new(now);
    let mut windows = |pace: &mut Pace, count: u32, record_count: usize| {
        for _ in 0..count {
            now += WINDOW;
            pace.starts(now, record_count);
        }
        pace.fetching()
    };
    let nearly = WINDOWS_BEFORE_SWITCH - 1;
    assert_eq!(windows(&mut pace, nearly, 1_000), Fetching::AtOnce);
    assert_eq!(windows(&mut pace, 1, 1), Fetching::AtOnce);
    assert_eq!(windows(&mut pace, nearly, 1_000), Fetching::AtOnce, "it was quiet in between");
    assert_eq!(windows(&mut pace, 1, 1_000), Fetching::Gathered);
    // Neither busy nor idle: it stays.
    assert_eq!(windows(&mut pace, 100, 100), Fetching::Gathered);
    assert_eq!(windows(&mut pace, nearly, 1), Fetching::Gathered);
    assert_eq!(windows(&mut pace, 1, 1), Fetching::AtOnce);
}

#[test]
fn silence_ends_the_gathering() {
    let (mut pace, mut now) = after(100, MILLI * 10);
    pace.fetching = Fetching::Gathered;
    for _ in 0..WINDOWS_BEFORE_SWITCH + 1 {
        now += WINDOW;
        pace.look(now);
    }
    assert_eq!(pace.fetching(), Fetching::AtOnce);
}
