use super::*;

#[test]
fn durations_have_units_and_add_up() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5_400)));
    assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
}

#[test]
fn what_is_no_duration_is_refused() {
    for text in ["", "10", "s", "10x", "-5s", "0s", "1..2s", "10 s"] {
        let error = duration(text).unwrap_err();
        assert!(error.contains("10s"), "{text}: {error}");
    }
}

#[test]
fn shares_are_percentages() {
    assert_eq!(percent("5%"), Ok(0.05));
    assert_eq!(percent("5"), Ok(0.05));
    assert_eq!(percent("0"), Ok(0.0));
    assert_eq!(percent("100 %"), Ok(1.0));
    for text in ["", "%", "-1%", "101%", "NaN", "five"] {
        assert!(percent(text).is_err(), "{text}");
    }
}

#[test]
fn no_duration_is_longer_than_ten_years() {
    assert_eq!(duration("3650d"), Ok(Duration::from_secs(3_650 * 86_400)));
    for text in ["3651d", "3650d1s", "99999999999999999999d"] {
        assert!(duration(text).unwrap_err().contains("too long"), "{text}");
    }
}

#[test]
fn durations_are_brief() {
    let written = |ms| brief(Duration::from_millis(ms));
    assert_eq!(written(4), "4.0 ms");
    assert_eq!(written(412), "412 ms");
    assert_eq!(written(3_400), "3.4 s");
    assert_eq!(written(125_000), "2m 05s");
    assert_eq!(written(11_520_000), "3h 12m");
    assert_eq!(written(90_000_000), "1d 01h");
}

#[test]
fn money_has_the_decimals_of_its_currency() {
    assert_eq!(amount(1_999, "EUR"), "19.99 EUR");
    assert_eq!(amount(5, "EUR"), "0.05 EUR");
    assert_eq!(amount(-1_999, "EUR"), "-19.99 EUR");
    assert_eq!(amount(1_234_567, "JPY"), "1,234,567 JPY");
    assert_eq!(amount(1_234_567, "KWD"), "1,234.567 KWD");
    assert_eq!(money(None), "-");
}

#[test]
fn counts_are_grouped() {
    assert_eq!(count(0), "0");
    assert_eq!(count(999), "999");
    assert_eq!(count(1_000), "1,000");
    assert_eq!(count(-1_234_567), "-1,234,567");
}

#[test]
fn times_are_clock_times_and_offsets() {
    let at = Timestamp { seconds: 1_795_278_742, nanos: 123_456_789 };
    let later = Timestamp { seconds: 1_795_278_743, nanos: 0 };
    assert_eq!(clock(Some(&at)), "16:32:22.123");
    assert_eq!(date(Some(&at)), "2026-11-21 16:32:22");
    assert_eq!(clock(None), "-");
    assert_eq!(between(Some(&at), Some(&later)), Some(Duration::from_nanos(876_543_211)));
    assert_eq!(between(Some(&later), Some(&at)), None);
    assert_eq!(between(None, Some(&at)), None);
}
