use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::By;

const NOW: OffsetDateTime = datetime!(2026-12-31 23:59:59.999 UTC);

#[test]
fn partitions_follow_each_other_without_a_gap() {
    for (by, table, names) in [
        (By::Hour, "outbox", ["outbox_2026123123", "outbox_2027010100", "outbox_2027010101"]),
        (By::UuidDay, "inbox", ["inbox_2026123100", "inbox_2027010100", "inbox_2027010200"]),
    ] {
        let wanted = by.wanted(table, NOW);
        let first: Vec<_> = wanted.iter().take(3).map(|wanted| wanted.name.as_str()).collect();
        assert_eq!(first, names);
        for pair in wanted.windows(2) {
            assert_eq!(pair[0].to, pair[1].from);
        }
    }
}

#[test]
fn an_id_falls_into_the_partition_of_the_time_it_was_made() {
    let id = Uuid::now_v7();
    let today = By::UuidDay.partition("inbox", OffsetDateTime::now_utc());
    let bound = |text: &str| Uuid::parse_str(text).unwrap();
    assert!(bound(&today.from) <= id && id < bound(&today.to));
    let at = datetime!(2026-11-21 00:00 UTC);
    let first = By::UuidDay.partition("inbox", at);
    assert_eq!(bound(&first.from).as_u128() >> 80, 1_795_219_200_000);
}

#[test]
fn a_partition_is_over_when_nothing_in_it_is_young_enough() {
    let is_over = |name, keep| By::Hour.is_over("outbox", name, NOW, keep);
    assert!(is_over("outbox_2026123120", Duration::hours(2)));
    // Its last row could be just two hours old.
    assert!(!is_over("outbox_2026123121", Duration::hours(2)));
    assert!(!is_over("outbox_2027010100", Duration::hours(2)));
    assert!(!is_over("outbox_default", Duration::ZERO));
    assert!(!is_over("outbox_2000010100", Duration::days(365_000)));
    assert!(By::UuidDay.is_over("inbox", "inbox_2026122300", NOW, Duration::days(7)));
    assert!(!By::UuidDay.is_over("inbox", "inbox_2026122400", NOW, Duration::days(7)));
}
