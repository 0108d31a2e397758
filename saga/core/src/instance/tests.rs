use super::*;
use crate::{
    Happened, Outcome, Transition, Verb,
    example::{order_placed, saga},
};

#[test]
fn what_is_unanswered_may_be_asked_again_in_the_same_words() {
    let Transition { instance, send, .. } = started();
    assert_eq!(unanswered(&instance), ["invoke authorize-payment #1", "invoke reserve-stock #1"]);
    for attempt in instance.unanswered() {
        let again = saga().command(&instance, &attempt).unwrap();
        assert!(send.contains(&again), "{again:?}");
    }

    let retried = next(&instance, operator(Verb::Retry));
    assert_eq!(unanswered(&retried), ["invoke authorize-payment #2", "invoke reserve-stock #2"]);
    let reserved = next(&retried, answered("reserve-stock", Direction::Invoke, succeeded()));
    assert_eq!(unanswered(&reserved), ["invoke authorize-payment #2"]);
}

#[test]
fn what_was_refused_and_must_succeed_waits_for_its_turn() {
    let compensating = compensating();
    assert_eq!(unanswered(&compensating), ["compensate reserve-stock #1"]);

    let refused = Outcome::Refused("not now".to_owned());
    let waits = next(&compensating, answered("reserve-stock", Direction::Compensate, refused));
    assert_eq!(waits.outstanding().count(), 1);
    assert_eq!(unanswered(&waits), [""; 0]);
}

#[test]
fn nothing_is_asked_again_while_it_is_paused() {
    let paused = next(&started().instance, operator(Verb::Pause));
    assert_eq!(unanswered(&paused), [""; 0]);
    let resumed = next(&paused, operator(Verb::Resume));
    assert_eq!(resumed.unanswered().count(), 2);
}

#[test]
fn what_is_stuck_or_settled_by_hand_is_not_asked_again() {
    let unreadable = Outcome::Succeeded(vec![0xff]);
    let stuck =
        next(&started().instance, answered("authorize-payment", Direction::Invoke, unreadable));
    assert_eq!(stuck.outstanding().count(), 2);
    assert_eq!(unanswered(&stuck), ["invoke reserve-stock #1"]);

    let resolved = next(&stuck, operator(Verb::Resolve));
    assert_eq!(unanswered(&resolved), [""; 0]);
}

#[test]
fn the_undo_of_the_start_is_made_only_of_an_instance_that_goes_back() {
    let reject =
        Attempt { step: "create-order".to_owned(), direction: Direction::Compensate, number: 1 };
    let made = saga().command(&started().instance, &reject);
    assert!(matches!(made, Err(crate::Unreadable::NoCause)), "{made:?}");
    assert_eq!(started().instance.cause(), None);

    let cause = compensating().cause().map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("authorize-payment was refused: card declined"));
    assert!(saga().command(&compensating(), &reject).is_ok());
}

fn compensating() -> Instance {
    let declined = Outcome::Refused("card declined".to_owned());
    let declined =
        next(&started().instance, answered("authorize-payment", Direction::Invoke, declined));
    next(&declined, answered("reserve-stock", Direction::Invoke, succeeded()))
}

fn started() -> Transition {
    saga().start(&prost::Message::encode_to_vec(&order_placed())).unwrap()
}

#[track_caller]
fn next(at: &Instance, happened: Happened) -> Instance {
    saga().next(at, happened).unwrap().instance
}

fn unanswered(at: &Instance) -> Vec<String> {
    at.unanswered().map(|attempt| attempt.to_string()).collect()
}

/// To the first attempt.
fn answered(step: &str, direction: Direction, outcome: Outcome) -> Happened {
    let attempt = Attempt { step: step.to_owned(), direction, number: 1 };
    Happened::Answered { attempt, outcome }
}

fn operator(verb: Verb) -> Happened {
    Happened::Intervened { verb, by: "ann".to_owned(), reason: String::new() }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded(Vec::new())
}
