use anstream::adapter::strip_str;
use tokio::time::Instant;

use super::*;
use crate::story::AtParticipant;

fn journey(step: &str, direction: Direction, round_trip_ms: u64) -> Journey {
    Journey {
        revision: 1,
        step: step.to_owned(),
        direction,
        round_trip: Duration::from_millis(round_trip_ms),
        at_participant: Some(AtParticipant {
            waited: Duration::from_millis(1),
            worked: Duration::from_millis(2),
        }),
    }
}

fn report(imbalances: Vec<String>, drained: Option<Duration>) -> Report {
    let now = Instant::now();
    let ledger = Ledger::new(now..now + Duration::from_secs(10)).unwrap();
    let journeys = [
        journey("reserve-stock", Direction::Invoke, 5),
        journey("reserve-stock", Direction::Invoke, 9),
        journey("reserve-stock", Direction::Invoke, 100),
        journey("reserve-stock", Direction::Compensate, 7),
    ];
    let facts = Facts {
        measured: Duration::from_secs(10),
        open_at_the_end: 3,
        drained,
        imbalances: Some(imbalances),
        difference: Some(Difference::default()),
    };
    Report::new(&ledger, &journeys, facts)
}

#[test]
fn the_time_of_each_command_is_a_median() {
    let report = report(Vec::new(), Some(Duration::ZERO));
    let [asked, undone] = report.steps.as_slice() else { panic!("{:?}", report.steps) };
    assert_eq!((&*asked.command, asked.sampled, asked.round_trip_ms), ("reserve-stock", 3, 9.0));
    assert_eq!(
        (asked.under_way_ms, asked.waiting_ms, asked.at_work_ms),
        (Some(6.0), Some(1.0), Some(2.0))
    );
    assert_eq!((&*undone.command, undone.sampled), ("undo of reserve-stock", 1));
}

#[test]
fn books_that_do_not_balance_fail_the_bench() {
    assert!(report(Vec::new(), Some(Duration::ZERO)).verdict().is_ok());
    let unbalanced = report(vec!["one is missing".to_owned()], Some(Duration::ZERO));
    assert_eq!(unbalanced.verdict().unwrap_err().exit_code(), 7);
    assert_eq!(report(Vec::new(), None).verdict().unwrap_err().exit_code(), 7);
}

#[test]
fn books_that_could_not_be_read_are_not_said_to_balance() {
    let read = report(Vec::new(), None);
    let unread = Report { imbalances: None, booked: None, ..read };
    assert!(unread.as_text().contains("the books could not be read"), "{}", unread.as_text());
    let data = serde_json::to_value(&unread).unwrap();
    assert_eq!(data["imbalances"], serde_json::Value::Null, "{data}");
}

#[test]
fn where_nothing_was_measured_nothing_is_said_to_be_zero() {
    let text = report(Vec::new(), Some(Duration::ZERO)).as_text();
    assert!(text.contains("nothing was measured"), "{text}");
    assert!(!text.contains("0.0 ms"), "{text}");
}

#[test]
fn the_text_has_the_rate_the_latencies_and_the_books() {
    let mut report = report(Vec::new(), Some(Duration::from_millis(40)));
    report.measured.sent = 1;
    let text = report.as_text();
    let text = strip_str(&text).to_string();
    for part in [
        "0 completed sagas/s over 10 s",
        "all ended 40 ms later",
        "✓ the books balance",
        "to the saga's end",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
