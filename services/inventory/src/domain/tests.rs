use super::*;

const ORDER: &str = "0190a000-0000-7000-8000-000000000001";
const OTHER_ORDER: &str = "0190a000-0000-7000-8000-000000000002";

/// SKU-1 with 10 pieces, SKU-9 with 1.
fn stock() -> Stock {
    let item = |available| {
        let stored = Pieces { available, reserved: 0, committed: 0 };
        Item { stored, now: stored }
    };
    let items = [("SKU-1".to_owned(), item(10)), ("SKU-9".to_owned(), item(1))].into();
    Stock { items, ..Stock::default() }
}

fn reserve(stock: &mut Stock, order: &str, lines: &[(&str, u32)]) -> Result<(), String> {
    let line =
        |(sku, quantity): &(&str, u32)| StockLine { sku: (*sku).to_owned(), quantity: *quantity };
    let lines = lines.iter().map(line).collect();
    match stock.reserve_stock(ReserveStock { order_id: order.to_owned(), lines }) {
        Decision::Done(_) => Ok(()),
        Decision::Refused(reason) => Err(reason),
        Decision::Deferred => panic!("stock is never deferred"),
    }
}

fn release(stock: &mut Stock, order: &str) -> Settled<StockReleased> {
    stock.release_stock(ReleaseStock { order_id: order.to_owned() })
}

fn commit(stock: &mut Stock, order: &str) -> Settled<StockCommitted> {
    stock.commit_stock(CommitStock { order_id: order.to_owned() })
}

fn check(stock: &Stock, sku: &str, available: i64, reserved: i64, committed: i64) {
    assert_eq!(stock.items[sku].now, Pieces { available, reserved, committed }, "{sku}");
}

#[track_caller]
fn check_refused(lines: &[(&str, u32)], why: &str) {
    let mut stock = stock();
    assert_eq!(reserve(&mut stock, ORDER, lines).unwrap_err(), why);
    check(&stock, "SKU-1", 10, 0, 0);
    check(&stock, "SKU-9", 1, 0, 0);
    assert!(stock.reservations.is_empty());
}

#[test]
fn stock_is_set_aside_for_all_lines() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-1", 2), ("SKU-9", 1), ("SKU-1", 3)]).unwrap();
    check(&stock, "SKU-1", 5, 5, 0);
    check(&stock, "SKU-9", 0, 1, 0);
}

#[test]
fn one_line_too_much_and_nothing_is_set_aside() {
    check_refused(&[("SKU-1", 2), ("SKU-9", 2)], "only 1 of SKU-9 left, 2 wanted");
}

#[test]
fn the_same_item_on_two_lines_counts_together() {
    check_refused(&[("SKU-1", 6), ("SKU-1", 5)], "only 10 of SKU-1 left, 11 wanted");
}

#[test]
fn what_makes_no_sense_is_refused_in_plain_words() {
    check_refused(&[("SKU-404", 1)], "there is no item SKU-404");
    check_refused(&[], "nothing is wanted: the order has no lines");
    check_refused(&[("SKU-1", 0)], "0 of SKU-1 wanted: the quantity must be positive");
    check_refused(&[("SKU-1", u32::MAX), ("SKU-1", 1)], "more of SKU-1 wanted than there can be");
    check_refused(&[("SKU\0-1", 1)], "there is no item SKU-1");
    let long = "x".repeat(100_000);
    assert!(reserve(&mut stock(), ORDER, &[(&long, 1)]).unwrap_err().len() < 100);
    let not_an_id = reserve(&mut stock(), "seven", &[("SKU-1", 1)]).unwrap_err();
    assert_eq!(not_an_id, "'seven' is not an order id");
}

#[test]
fn two_orders_for_the_last_item_and_exactly_one_gets_it() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-9", 1)]).unwrap();
    let refused = reserve(&mut stock, OTHER_ORDER, &[("SKU-9", 1)]).unwrap_err();
    assert_eq!(refused, "nothing of SKU-9 is left, 1 wanted");
    check(&stock, "SKU-9", 0, 1, 0);
}

#[test]
fn what_is_given_back_can_be_had_by_the_next() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-9", 1)]).unwrap();
    assert_eq!(release(&mut stock, ORDER), Settled::Done(StockReleased {}));
    assert_eq!(release(&mut stock, ORDER), Settled::Done(StockReleased {}));
    check(&stock, "SKU-9", 1, 0, 0);
    reserve(&mut stock, OTHER_ORDER, &[("SKU-9", 1)]).unwrap();
}

#[test]
fn releasing_what_was_never_set_aside_is_done_without_effect() {
    let mut stock = stock();
    assert_eq!(release(&mut stock, ORDER), Settled::Done(StockReleased {}));
    assert_eq!(release(&mut stock, "seven"), Settled::Done(StockReleased {}));
    check(&stock, "SKU-1", 10, 0, 0);
    assert_eq!(stock.impossible, None);
}

#[test]
fn what_was_given_back_is_not_set_aside_again() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-9", 1)]).unwrap();
    release(&mut stock, ORDER);
    reserve(&mut stock, ORDER, &[("SKU-9", 1)]).unwrap_err();
    check(&stock, "SKU-9", 1, 0, 0);
}

#[test]
fn reserving_the_same_twice_is_done_once() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-1", 2)]).unwrap();
    reserve(&mut stock, ORDER, &[("SKU-1", 1), ("SKU-1", 1)]).unwrap();
    check(&stock, "SKU-1", 8, 2, 0);
    reserve(&mut stock, ORDER, &[("SKU-1", 3)]).unwrap_err();
    check(&stock, "SKU-1", 8, 2, 0);
}

#[test]
fn committed_stock_leaves_the_house_once() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-1", 2)]).unwrap();
    assert_eq!(commit(&mut stock, ORDER), Settled::Done(StockCommitted {}));
    assert_eq!(commit(&mut stock, ORDER), Settled::Done(StockCommitted {}));
    check(&stock, "SKU-1", 8, 0, 2);
    assert_eq!(stock.impossible, None);
}

#[test]
fn what_left_the_house_is_not_given_back() {
    let mut stock = stock();
    reserve(&mut stock, ORDER, &[("SKU-1", 2)]).unwrap();
    commit(&mut stock, ORDER);
    release(&mut stock, ORDER);
    check(&stock, "SKU-1", 8, 0, 2);
    assert!(stock.impossible.unwrap().contains("cannot be given back"));
}

#[test]
fn what_is_not_set_aside_cannot_leave_the_house() {
    let mut never = stock();
    commit(&mut never, ORDER);
    assert!(never.impossible.unwrap().contains("no stock is set aside"));

    let mut given_back = stock();
    reserve(&mut given_back, ORDER, &[("SKU-1", 2)]).unwrap();
    release(&mut given_back, ORDER);
    commit(&mut given_back, ORDER);
    check(&given_back, "SKU-1", 10, 0, 0);
    assert!(given_back.impossible.unwrap().contains("was given back"));
}

#[test]
fn an_order_id_has_one_spelling() {
    assert!(order_id(ORDER).is_some());
    for text in [&ORDER.replace('a', "A"), &ORDER.replace('-', ""), "", "seven"] {
        assert_eq!(order_id(text), None, "{text}");
    }
}
