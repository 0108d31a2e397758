use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn built(flags: &str) -> Result<Vec<PlaceOrderRequest>, Failure> {
    let flags = flags.split_whitespace();
    requests(Line::try_parse_from(std::iter::once("submit").chain(flags)).unwrap().args)
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
fn a_cancelled_order_fails_the_watch() {
    assert!(check_confirmed(0, 5).is_ok());
    assert_eq!(check_confirmed(1, 1).unwrap_err().exit_code(), 7);
    assert_eq!(check_confirmed(2, 5).unwrap_err().exit_code(), 7);
}
