use clap::Parser;
use tonic::Status;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn built(flags: &str) -> Result<Vec<PlaceOrderRequest>, Failure> {
    let flags = flags.split_whitespace();
    let args = Line::try_parse_from(std::iter::once("submit").chain(flags)).unwrap().args;
    requests(args).map(|(_, requests)| requests.collect())
}

fn goods(request: &PlaceOrderRequest) -> Vec<(&str, u32)> {
    request.lines.iter().map(|line| (line.sku.as_str(), line.quantity)).collect()
}

#[test]
fn one_piece_and_a_good_card_unless_said_otherwise() {
    let orders = built("--sku SKU-1").unwrap();
    assert_eq!(goods(&orders[0]), [("SKU-1", 1)]);
    assert_eq!(orders[0].payment_method, "tok_ok");
    assert!(!orders[0].request_id.is_empty());
}

#[test]
fn several_lines_are_pairs() {
    let orders = built("--sku A --quantity 2 --sku B --quantity 3 --line C=4").unwrap();
    assert_eq!(goods(&orders[0]), [("A", 2), ("B", 3), ("C", 4)]);
}

#[test]
fn a_pair_that_lacks_a_half_is_refused() {
    assert!(built("--sku A --sku B --quantity 2").is_err());
    assert_eq!(goods(&built("--sku A --sku B").unwrap()[0]), [("A", 1), ("B", 1)]);
    assert!(built("--sku A --quantity 1 --quantity 2").is_err());
    assert!(built("").is_err());
    for wrong in ["A", "=2", "A=", "A=-1", "A=x"] {
        assert!(line(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn each_of_many_has_a_request_id_of_its_own() {
    let orders = built("--sku A --count 3").unwrap();
    let ids: std::collections::BTreeSet<_> = orders.iter().map(|order| &order.request_id).collect();
    assert_eq!(ids.len(), 3);

    let named = built("--sku A --count 2 --request-id r").unwrap();
    assert_eq!(named[1].request_id, "r-2");
    assert_eq!(built("--sku A --request-id r").unwrap()[0].request_id, "r");
}

#[test]
fn the_request_ids_of_a_file_stay_and_are_numbered_when_it_is_sent_again() {
    let path = std::env::temp_dir().join(format!("saga-cli-submit-{}.json", Uuid::now_v7()));
    std::fs::write(&path, r#"[{"requestId": "a"}, {"requestId": "b"}, {}]"#).unwrap();
    let ids = |flags: &str| -> Vec<String> {
        let orders = built(&format!("--file {} {flags}", path.display())).unwrap();
        orders.into_iter().map(|order| order.request_id).collect()
    };
    assert_eq!(ids("")[..2], ["a", "b"]);
    assert_eq!(ids("--count 2")[..2], ["a-1", "b-2"]);
    assert_eq!(ids("--count 2")[3..5], ["a-4", "b-5"]);
    assert_eq!(ids("--request-id r"), ["r-1", "r-2", "r-3"]);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn many_orders_are_made_as_they_are_sent() {
    let line = ["submit", "--sku", "A", "--count", "1000000"];
    let (total, requests) = requests(Line::try_parse_from(line).unwrap().args).unwrap();
    assert_eq!((total, requests.take(2).count()), (1_000_000, 2));
}

#[test]
fn the_worst_of_many_decides_the_exit_code() {
    let taken = || Outcome { order: Some(Order::default()), failure: None };
    let failed = |code| Outcome { order: None, failure: Some(Failure::of_code(code, "no")) };
    let code_of = |outcomes: Vec<Outcome>| {
        let mut tally = Tally::default();
        outcomes.into_iter().for_each(|outcome| tally.add(outcome));
        tally.verdict(5).map_or_else(|failure| failure.exit_code(), |()| 0)
    };
    let (wrong, away) = (tonic::Code::InvalidArgument, tonic::Code::Unavailable);
    assert_eq!(code_of(vec![taken()]), 0);
    assert_eq!(code_of(vec![taken(), failed(wrong), taken()]), 2);
    assert_eq!(code_of(vec![failed(wrong), failed(away), failed(wrong)]), 5);
    let stuck = || Outcome { failure: Some(Failure::check("stuck")), ..taken() };
    assert_eq!(code_of(vec![taken(), stuck()]), 7);
    assert_eq!(code_of(vec![stuck(), failed(away)]), 5);
}

#[test]
fn what_nobody_answered_is_not_said_not_to_be_taken() {
    let mut tally = Tally::default();
    for status in [Status::deadline_exceeded("late"), Status::invalid_argument("no")] {
        let failure = Failure::from_status(&status, "order service", "127.0.0.1:7101");
        tally.add(Outcome { order: None, failure: Some(failure) });
    }
    let told = tally.verdict(3).unwrap_err().text();
    assert!(told.contains("0 orders taken, 1 not taken, 1 perhaps taken, 1 not sent"), "{told}");
}

#[test]
fn a_cancelled_order_fails_the_watch() {
    assert!(check_confirmed(0, 5).is_ok());
    assert_eq!(check_confirmed(1, 1).unwrap_err().exit_code(), 7);
    assert_eq!(check_confirmed(2, 5).unwrap_err().exit_code(), 7);
}
