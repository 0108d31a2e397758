use super::assigned_count;

/// Version 0; `orders` with partitions 0 and 3, `stock` with partition 1; no user data.
const TWO_AND_ONE: &[u8] =
    b"\0\0\0\0\0\x02\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x05stock\0\0\0\x01\0\0\0\x01\0\0\0\0";

fn topics(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn partitions_of_the_topics_that_are_asked_for_count() {
    assert_eq!(assigned_count(TWO_AND_ONE, &topics(&["orders", "stock"])), Some(3));
    assert_eq!(assigned_count(TWO_AND_ONE, &topics(&["orders"])), Some(2));
    assert_eq!(assigned_count(TWO_AND_ONE, &topics(&["order"])), Some(0));
}

#[test]
fn who_got_nothing_has_none() {
    assert_eq!(assigned_count(b"", &topics(&["orders"])), Some(0));
    assert_eq!(assigned_count(b"\0\0\0\0\0\0\xff\xff\xff\xff", &topics(&["orders"])), Some(0));
}

#[test]
fn what_is_cut_short_or_absurd_is_not_understood() {
    for length in 1..TWO_AND_ONE.len() - 4 {
        assert_eq!(assigned_count(&TWO_AND_ONE[..length], &topics(&["orders"])), None, "{length}");
    }
    let absurd = b"\0\0\0\0\0\x01\0\x06orders\x7f\xff\xff\xff";
    assert_eq!(assigned_count(absurd, &topics(&["orders"])), None);
    let negative = b"\0\0\0\0\0\x01\xff\xff";
    assert_eq!(assigned_count(negative, &topics(&["orders"])), None);
}
