use super::{decode, encode, page, page_size};
use crate::Problem;

const FILTERS: (&str, Option<&str>) = ("customer-1", Some("CONFIRMED"));

fn is_refused<T: std::fmt::Debug>(result: Result<T, Problem>, field: &str) {
    match result {
        Err(Problem::InvalidArgument { violations, .. }) => assert_eq!(violations[0].0, field),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_token_gives_its_cursor_back() {
    let token = encode(&FILTERS, &(1_700_000_000_i64, "ä 7")).unwrap();
    let cursor: Option<(i64, String)> = decode(&token, &FILTERS).unwrap();
    assert_eq!(cursor, Some((1_700_000_000, "ä 7".to_owned())));
}

#[test]
fn no_token_is_the_first_page() {
    assert_eq!(decode::<_, i64>("", &FILTERS).unwrap(), None);
}

#[test]
fn a_token_of_other_filters_is_refused() {
    let token = encode(&FILTERS, &7).unwrap();
    is_refused(decode::<_, i64>(&token, &("customer-2", None::<&str>)), "page_token");
}

#[test]
fn a_malformed_token_is_refused() {
    let token = encode(&FILTERS, &7).unwrap();
    for broken in
        ["x", "zz", "7b", "ää", &token[2..], &token[..token.len() - 1], &"00".repeat(9000)]
    {
        is_refused(decode::<_, i64>(broken, &FILTERS), "page_token");
    }
    is_refused(decode::<_, String>(&token, &FILTERS), "page_token");
}

#[test]
fn a_page_that_is_not_the_last_says_where_the_next_begins() {
    let page = |rows: Vec<i64>| page(rows, 2, &FILTERS, |last| *last, |row| row).unwrap();
    let (rows, token) = page(vec![7, 8, 9]);
    assert_eq!((rows, decode(&token, &FILTERS).unwrap()), (vec![7, 8], Some(8)));
    assert_eq!(page(vec![7, 8]), (vec![7, 8], String::new()));
    assert_eq!(page(vec![]), (vec![], String::new()));
}

#[test]
fn a_page_holds_no_more_than_an_answer_can() {
    let page = |rows: &[usize]| {
        let rows = rows.iter().enumerate().collect();
        page(rows, 10, &FILTERS, |(index, _)| *index, |(_, length)| "x".repeat(*length)).unwrap()
    };
    let lengths = |rows: &[String]| rows.iter().map(String::len).collect::<Vec<_>>();

    let (rows, token) = page(&[1_000_000, 2_000_000, 1_500_000]);
    assert_eq!(lengths(&rows), [1_000_000, 2_000_000]);
    assert_eq!(decode(&token, &FILTERS).unwrap(), Some(1));
    // One that is too large for any page is no reason to stop.
    let (rows, token) = page(&[5_000_000, 1]);
    assert_eq!(lengths(&rows), [5_000_000]);
    assert_eq!(decode(&token, &FILTERS).unwrap(), Some(0));
}

#[test]
fn page_sizes_have_a_default_and_a_limit() {
    assert_eq!(page_size(0).unwrap(), 50);
    assert_eq!(page_size(7).unwrap(), 7);
    assert_eq!(page_size(i32::MAX).unwrap(), 1000);
    is_refused(page_size(-1), "page_size");
}
