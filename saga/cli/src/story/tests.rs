use anstream::adapter::strip_str;
use prost_types::Timestamp;
use proto::saga::{Direction, Stopwatch};

use super::*;

const BEGAN_S: i64 = 1_795_278_742;

fn at(ms: i64) -> Option<Timestamp> {
    let (seconds, ms) = (BEGAN_S + ms / 1_000, ms % 1_000);
    Some(Timestamp { seconds, nanos: i32::try_from(ms * 1_000_000).unwrap() })
}

fn step(name: &str, kind: &str, status: StepStatus) -> Step {
    Step {
        name: name.into(),
        kind: kind.into(),
        status: status.into(),
        attempt: 1,
        ..Step::default()
    }
}

fn answered(revision: u64, ms: i64, step: &str, direction: Direction) -> JournalEntry {
    JournalEntry {
        revision,
        happened_at: at(ms),
        happened: "answered".into(),
        outcome: "succeeded".into(),
        step: step.into(),
        direction: direction.into(),
        attempt: 1,
        ..JournalEntry::default()
    }
}

#[test]
fn what_was_skipped_is_not_said_to_be_done() {
    let skip = JournalEntry {
        revision: 3,
        happened: "intervened".into(),
        verb: "skip".into(),
        step: "capture-payment".into(),
        by: "ann".into(),
        reason: "paid in cash".into(),
        ..JournalEntry::default()
    };
    let story = GetSagaResponse {
        saga: Some(Saga { status: SagaStatus::Completed.into(), ..Saga::default() }),
        steps: vec![
            step("capture-payment", "retriable", StepStatus::Succeeded),
            step("commit-stock", "retriable", StepStatus::Succeeded),
        ],
        journal: vec![skip],
        ..GetSagaResponse::default()
    };
    let said = sentence(&story, &Timestamp::default());
    let expected =
        "every step was done, but capture-payment only by the word of ann: paid in cash.";
    assert!(said.ends_with(expected), "{said}");
    let steps = steps(&story);
    assert!(steps.contains("☞ taken as done") && steps.contains("✓ done"), "{steps}");
}

#[test]
fn what_was_skipped_and_undone_by_its_participant_rests_on_nobodys_word() {
    let skip = |revision, by: &str| JournalEntry {
        revision,
        happened: "intervened".into(),
        verb: "skip".into(),
        step: "authorize-payment".into(),
        by: by.into(),
        reason: "paid in cash".into(),
        ..JournalEntry::default()
    };
    let mut story = with_status(SagaStatus::Compensated);
    story.steps[2] = step("authorize-payment", "compensatable", StepStatus::Compensated);
    story.journal.push(skip(5, "ann"));
    story.journal.push(answered(6, 40, "authorize-payment", Direction::Compensate));
    let said = told(&story);
    let undone = "reserve-stock, authorize-payment and create-order were undone";
    assert!(said.ends_with(&format!("{undone}.")), "{said}");

    story.journal.pop();
    story.journal.push(skip(6, "bob"));
    let said = told(&story);
    let by_word = "authorize-payment only by the word of bob: paid in cash";
    assert!(said.ends_with(&format!("{undone}, but {by_word}.")), "{said}");
}

#[test]
fn a_stuck_saga_that_is_paused_has_to_be_resumed_first() {
    let saga = Saga { status: SagaStatus::Stuck.into(), paused: true, ..Saga::default() };
    let story = GetSagaResponse { saga: Some(saga), ..GetSagaResponse::default() };
    let said = sentence(&story, &Timestamp::default());
    let (resume, retry) = (said.find("saga resume").unwrap(), said.find("saga retry").unwrap());
    assert!(resume < retry, "{said}");
}

/// An order whose card was declined after its stock had been reserved.
fn declined() -> GetSagaResponse {
    let stopwatch = Stopwatch { received_at: at(5), started_at: at(6), finished_at: at(9) };
    GetSagaResponse {
        saga: Some(Saga {
            saga_id: "s".into(),
            definition: "place-order".into(),
            key: "o".into(),
            status: SagaStatus::Compensated.into(),
            cause_step: "authorize-payment".into(),
            cause: "authorize-payment was refused: the card was declined".into(),
            started_at: at(0),
            moved_at: at(30),
            ended_at: at(30),
            ..Saga::default()
        }),
        steps: vec![
            step("create-order", "start", StepStatus::Compensated),
            step("reserve-stock", "compensatable", StepStatus::Compensated),
            step("authorize-payment", "compensatable", StepStatus::Refused),
            step("approve-order", "pivot", StepStatus::Waiting),
        ],
        journal: vec![
            JournalEntry {
                revision: 1,
                happened_at: at(0),
                happened: "started".into(),
                sent: vec!["invoke reserve-stock #1".into(), "invoke authorize-payment #1".into()],
                ..JournalEntry::default()
            },
            JournalEntry {
                stopwatch: Some(stopwatch),
                ..answered(2, 12, "reserve-stock", Direction::Invoke)
            },
            JournalEntry {
                outcome: "refused".into(),
                reason: "the card was declined".into(),
                sent: vec!["compensate reserve-stock #1".into()],
                ..answered(3, 15, "authorize-payment", Direction::Invoke)
            },
            answered(4, 30, "reserve-stock", Direction::Compensate),
        ],
        ..GetSagaResponse::default()
    }
}

fn with_status(status: SagaStatus) -> GetSagaResponse {
    let mut story = declined();
    story.saga.as_mut().unwrap().status = status.into();
    story
}

fn told(story: &GetSagaResponse) -> String {
    sentence(story, &at(530).unwrap())
}

#[test]
fn a_declined_card_is_told_in_one_sentence() {
    assert_eq!(
        told(&declined()),
        "Compensated in 30 ms: authorize-payment was refused: the card was declined; \
         reserve-stock and create-order were undone."
    );
}

#[test]
fn nothing_done_is_nothing_undone() {
    let mut story = declined();
    story.steps.truncate(1);
    assert!(told(&story).ends_with("nothing else had been done, so only create-order was undone."));
    story.steps.clear();
    assert!(told(&story).ends_with("nothing had been done, so nothing was undone."));
}

#[test]
fn a_saga_under_way_says_what_it_waits_for() {
    let mut story = with_status(SagaStatus::Running);
    story.saga.as_mut().unwrap().waits_for = vec!["capture-payment".into()];
    assert_eq!(told(&story), "Under way: waits for capture-payment, for 500 ms.");
}

#[test]
fn a_stuck_saga_says_what_to_do() {
    let mut story = with_status(SagaStatus::Stuck);
    let saga = story.saga.as_mut().unwrap();
    (saga.stuck_step, saga.stuck_reason) = ("capture-payment".into(), "refused: expired".into());
    assert_eq!(
        told(&story),
        "Stuck, a person must look: capture-payment: refused: expired. \
         When that is mended: `saga retry s --reason …`."
    );
}

#[test]
fn a_resolved_saga_says_who_settled_it() {
    let mut story = with_status(SagaStatus::Resolved);
    story.journal.push(JournalEntry {
        happened: "intervened".into(),
        verb: "resolve".into(),
        by: "ada".into(),
        reason: "paid by transfer".into(),
        ..JournalEntry::default()
    });
    assert_eq!(told(&story), "Settled outside in 30 ms by ada: paid by transfer.");
}

#[test]
fn the_other_states_have_a_sentence() {
    assert_eq!(
        told(&with_status(SagaStatus::Completed)),
        "Completed in 30 ms: every step was done."
    );
    assert!(told(&with_status(SagaStatus::Compensating)).starts_with("Going back: authorize-"));
    assert!(told(&with_status(SagaStatus::Paused)).contains("saga resume s"));
    assert_eq!(told(&GetSagaResponse::default()), "There is nothing to tell.");
}

#[test]
fn the_timeline_has_times_offsets_and_where_the_time_went() {
    let lines: Vec<_> = timeline(&declined())
        .iter()
        .map(|moment| strip_str(&moment.with_clock()).to_string())
        .collect();
    assert_eq!(
        lines,
        [
            "16:32:22.000      +0.0 ms  ● began  (asks reserve-stock and authorize-payment)",
            "16:32:22.012     +12.0 ms  ✓ reserve-stock done  \
             (12 ms: 8.0 ms under way, 1.0 ms waiting, 3.0 ms at work)",
            "16:32:22.015     +15.0 ms  ✗ authorize-payment refused: the card was declined  \
             (15 ms; undoes reserve-stock)",
            "16:32:22.030     +30.0 ms  ↩ reserve-stock undone  (15 ms)",
        ]
    );
}

#[test]
fn what_was_not_measured_is_left_out() {
    let mut story = declined();
    for entry in &mut story.journal {
        entry.happened_at = None;
        entry.stopwatch = None;
    }
    assert_eq!(journeys(&story), []);
    let first = timeline(&story).remove(0).with_offset();
    assert_eq!(strip_str(&first).to_string().trim_start().chars().next(), Some('●'));
}

#[test]
fn the_page_holds_it_all() {
    let page = strip_str(&page(&declined(), &at(530).unwrap())).to_string();
    for part in ["place-order o  compensated", "↩ undone", "1×", "· never asked", "+30.0 ms"] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
}
