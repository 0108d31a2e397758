use super::{MAX_VIOLATIONS, Violations, id, statuses};
use crate::Problem;

fn fields<T: std::fmt::Debug>(result: Result<T, Problem>) -> Vec<String> {
    match result {
        Err(Problem::InvalidArgument { violations, .. }) => {
            violations.into_iter().map(|(field, _)| field).collect()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_request_id_is_printable_and_not_too_long() {
    let checked = |request_id: &str| {
        let mut found = Violations::default();
        found.check_request_id(request_id);
        found.or(())
    };
    for right in ["7", "order 7", &"ü".repeat(128)] {
        assert!(checked(right).is_ok(), "{right}");
    }
    for wrong in ["", " \u{a0}", "a\0b", "line\nbreak", &"x".repeat(129)] {
        assert_eq!(fields(checked(wrong)), ["request_id"], "{wrong}");
    }
}

#[test]
fn only_so_many_violations_are_listed() {
    let mut found = Violations::default();
    for index in 0..100 {
        found.add(format!("lines[{index}]"), "is wrong");
    }
    let violations = found.into_result().unwrap_err();
    assert_eq!(violations.len(), MAX_VIOLATIONS + 1);
    let (field, text) = &violations[MAX_VIOLATIONS];
    assert_eq!((field.as_str(), text.starts_with("has 90 more")), ("request", true));
}

#[test]
fn an_id_may_be_spelt_as_any_uuid() {
    let spelt = "0198c0de-0000-7000-8000-00000000000a";
    let known = id("order_id", spelt).unwrap();
    for other in [spelt.to_uppercase(), spelt.replace('-', ""), format!("{{{spelt}}}")] {
        assert_eq!(id("order_id", &other).unwrap(), known, "{other}");
    }
    for wrong in ["", "seven", &spelt[1..]] {
        assert_eq!(fields(id("order_id", wrong)), ["order_id"], "{wrong}");
    }
}

#[test]
fn statuses_are_looked_for_once_and_in_order() {
    let known = |number| (1..=3).contains(&number).then_some(number);
    assert_eq!(statuses(&[3, 1, 3], known).unwrap(), [1, 3]);
    assert_eq!(fields(statuses(&[1, 9], known)), ["statuses[1]"]);
}
