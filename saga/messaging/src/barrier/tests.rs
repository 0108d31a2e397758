use saga_contract::Answer;

use super::{Admission, Call, Held, Stands, UNDONE_BEFORE, admit, after};

const HELD: u32 = 5;

fn held(stands: Stands) -> Option<Held> {
    Some(Held { stands, attempt: HELD })
}

fn said() -> (String, Vec<u8>) {
    ("shop.Reserved".to_owned(), vec![1, 2])
}

fn succeeded() -> Option<Held> {
    held(Stands::Succeeded(said().0, said().1))
}

fn undone() -> Option<Held> {
    held(Stands::Undone(said().0, said().1))
}

fn no() -> String {
    "there is none".to_owned()
}

fn answers_success() -> Admission {
    Admission::Answer(Answer::Succeeded { name: said().0, payload: said().1 })
}

fn refuses(reason: &str) -> Admission {
    Admission::Answer(Answer::Refused(reason.to_owned()))
}

/// Whatever the attempt is.
fn always(held: Option<Held>, call: Call, wanted: &Admission) {
    for attempt in [1, HELD, HELD + 1] {
        assert_eq!(admit(held.as_ref(), call, attempt), *wanted, "{held:?} {call:?} {attempt}");
    }
}

#[test]
fn what_is_not_known_is_run_and_its_undo_leaves_a_mark() {
    always(None, Call::Invoke, &Admission::Run);
    always(None, Call::Undo, &Admission::NothingToUndo);
}

#[test]
fn a_success_is_told_again_and_can_be_undone() {
    always(succeeded(), Call::Invoke, &answers_success());
    always(succeeded(), Call::Undo, &Admission::Run);
}

#[test]
fn a_refusal_holds_for_its_attempt_and_earlier_ones() {
    let refused = held(Stands::Refused(no()));
    for (attempt, wanted) in
        [(1, refuses(&no())), (HELD, refuses(&no())), (HELD + 1, Admission::Run)]
    {
        assert_eq!(admit(refused.as_ref(), Call::Invoke, attempt), wanted);
    }
    always(refused, Call::Undo, &Admission::NothingToUndo);
}

#[test]
fn what_is_undone_stays_undone() {
    always(undone(), Call::Invoke, &refuses(UNDONE_BEFORE));
    always(undone(), Call::Undo, &answers_success());
}

#[test]
fn who_has_an_answer_coming_waits_for_it() {
    always(held(Stands::Deferred), Call::Invoke, &Admission::Wait);
    // It may have been done already.
    always(held(Stands::Deferred), Call::Undo, &Admission::Run);
    always(held(Stands::UndoDeferred), Call::Undo, &Admission::Wait);
    always(held(Stands::UndoDeferred), Call::Invoke, &refuses(UNDONE_BEFORE));
}

#[test]
fn an_undo_that_is_refused_is_asked_again_and_never_taken_for_done() {
    let refused = held(Stands::UndoRefused(no()));
    for (attempt, wanted) in
        [(1, refuses(&no())), (HELD, refuses(&no())), (HELD + 1, Admission::Run)]
    {
        assert_eq!(admit(refused.as_ref(), Call::Undo, attempt), wanted);
    }
    always(refused, Call::Invoke, &refuses(UNDONE_BEFORE));
}

#[test]
fn what_is_remembered_says_what_was_answered_to_what() {
    let (name, payload) = said();
    let success = Answer::Succeeded { name, payload };
    for (call, answer, wanted) in [
        (Call::Invoke, success.clone(), succeeded()),
        (Call::Invoke, Answer::Refused(no()), held(Stands::Refused(no()))),
        (Call::Invoke, Answer::Deferred, held(Stands::Deferred)),
        (Call::Undo, success, undone()),
        (Call::Undo, Answer::Refused(no()), held(Stands::UndoRefused(no()))),
        (Call::Undo, Answer::Deferred, held(Stands::UndoDeferred)),
    ] {
        assert_eq!(Some(after(call, HELD, &answer)), wanted);
    }
}
