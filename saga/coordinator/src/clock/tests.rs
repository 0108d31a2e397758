use std::{collections::BTreeMap, time::Duration};

use saga_core::{Attempt, Deadline, Direction, Instance, Progress, Status, Timer, Version};
use time::OffsetDateTime;

use super::Clock;

const RESEND_AFTER: Duration = Duration::from_secs(5);

#[test]
fn what_is_due_is_taken_once_and_in_order() {
    let mut clock = Clock::default();
    clock.moved(
        &asked("a", 1),
        vec![saga_timer(20), step_timer("a", 1, 10)],
        at(0),
        RESEND_AFTER,
        0.5,
    );
    assert_eq!(clock.deadline(&attempt("a", 1)), Some(at(10)));
    assert_eq!(clock.deadline(&attempt("a", 2)), None);
    assert_eq!(clock.take_due(at(9)), []);
    assert_eq!(clock.take_due(at(30)), [Deadline::Step(attempt("a", 1)), Deadline::Saga]);
    assert_eq!(clock.take_due(at(30)), []);
}

#[test]
fn a_settled_step_has_no_timer_any_more() {
    let mut clock = Clock::default();
    clock.moved(&asked("a", 1), vec![step_timer("a", 1, 10)], at(0), RESEND_AFTER, 0.5);
    clock.moved(&asked("b", 1), vec![step_timer("b", 1, 10)], at(1), RESEND_AFTER, 0.5);
    assert_eq!(clock.take_due(at(60)), [Deadline::Step(attempt("b", 1))]);
}

#[test]
fn a_new_attempt_replaces_the_timer_of_the_one_before() {
    let mut clock = Clock::default();
    clock.moved(&asked("a", 1), vec![step_timer("a", 1, 10)], at(0), RESEND_AFTER, 0.5);
    clock.moved(&asked("a", 2), vec![step_timer("a", 2, 10)], at(5), RESEND_AFTER, 0.5);
    assert_eq!(clock.take_due(at(60)), [Deadline::Step(attempt("a", 2))]);
}

#[test]
fn a_quiet_saga_asks_again_less_and_less_often() {
    let mut clock = Clock::default();
    clock.moved(&asked("a", 1), vec![], at(0), RESEND_AFTER, 0.5);
    assert!(!clock.take_resend(at(4), RESEND_AFTER));
    assert!(clock.take_resend(at(5), RESEND_AFTER));
    assert!(!clock.take_resend(at(14), RESEND_AFTER));
    assert!(clock.take_resend(at(15), RESEND_AFTER));
    let mut pauses = clock;
    for _ in 0..40 {
        pauses.take_resend(at(1_000_000), RESEND_AFTER);
    }
    assert!(pauses.wake_at(at(1_000_000)) <= at(1_000_060));
}

#[test]
fn it_wakes_for_whatever_comes_first() {
    let mut clock = Clock::default();
    clock.moved(&asked("a", 1), vec![step_timer("a", 1, 3)], at(0), RESEND_AFTER, 0.5);
    assert_eq!(clock.wake_at(at(0)), at(3));
    clock.take_due(at(3));
    assert_eq!(clock.wake_at(at(3)), at(5));
}

fn asked(step: &str, number: u32) -> Instance {
    let progress = Progress::Asked { direction: Direction::Invoke, attempt: number, refusal: None };
    Instance {
        version: Version { saga: "a-saga".to_owned(), hash: "0".to_owned() },
        revision: 1,
        status: Status::Running,
        paused: false,
        steps: BTreeMap::from([(step.to_owned(), progress)]),
        data: serde_json::from_str("null").unwrap(),
    }
}

fn attempt(step: &str, number: u32) -> Attempt {
    Attempt { step: step.to_owned(), direction: Direction::Invoke, number }
}

fn step_timer(step: &str, number: u32, seconds: u64) -> Timer {
    let deadline = Deadline::Step(attempt(step, number));
    Timer { deadline, due_in: Duration::from_secs(seconds) }
}

fn saga_timer(seconds: u64) -> Timer {
    Timer { deadline: Deadline::Saga, due_in: Duration::from_secs(seconds) }
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
}
