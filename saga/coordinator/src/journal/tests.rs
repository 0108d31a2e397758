use saga_core::{Attempt, Deadline, Direction, Entry, Happened, Outcome, Verb};
use time::OffsetDateTime;

use super::{Columns, Stored};

#[test]
fn whatever_happened_reads_as_it_was_written() {
    let attempt = Attempt { step: "a".to_owned(), direction: Direction::Compensate, number: 3 };
    let verbs = [
        Verb::Cancel,
        Verb::Pause,
        Verb::Resume,
        Verb::Retry,
        Verb::Skip { step: "a".to_owned(), reply: vec![1, 2] },
        Verb::Resolve,
    ];
    let intervened = verbs.map(|verb| Happened::Intervened {
        verb,
        by: "ann".to_owned(),
        reason: "a test".to_owned(),
    });
    let messages = [
        Happened::Started { event: vec![1, 2, 3] },
        Happened::Answered { attempt: attempt.clone(), outcome: Outcome::Succeeded(vec![4]) },
        Happened::Answered { attempt: attempt.clone(), outcome: Outcome::Refused("no".to_owned()) },
        Happened::TimedOut(Deadline::Saga),
        Happened::TimedOut(Deadline::Step(attempt.clone())),
        Happened::Parked { attempt: Some(attempt), reason: "no such command".to_owned() },
        Happened::Parked { attempt: None, reason: "unreadable".to_owned() },
    ];
    for happened in messages.into_iter().chain(intervened) {
        let entry = Entry { revision: 7, happened, sent: Vec::new() };
        assert_eq!(stored(&Columns::of(&entry)).to_entry(), Some(entry));
    }
}

fn stored(columns: &Columns<'_>) -> Stored {
    Stored {
        revision: 7,
        happened_at: OffsetDateTime::UNIX_EPOCH,
        happened: columns.happened.to_owned(),
        step: columns.step.map(str::to_owned),
        direction: columns.direction.map(str::to_owned),
        attempt: columns.attempt,
        outcome: columns.outcome.map(str::to_owned),
        payload: columns.payload.map(<[u8]>::to_vec),
        verb: columns.verb.map(str::to_owned),
        actor: columns.actor.map(str::to_owned),
        reason: columns.reason.map(str::to_owned),
        sent: columns.sent.clone(),
        stopwatch: None,
    }
}
