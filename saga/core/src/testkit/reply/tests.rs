use prost::Message;
use proto::{
    order::{OrderPlaced, PlacedLine},
    shop::Money,
};

use super::with_every_field;

#[test]
fn every_field_says_something_and_so_do_those_of_the_messages_inside() {
    let bytes = with_every_field(&|bytes| OrderPlaced::decode(bytes).is_ok());
    let text = || "x".to_owned();
    let placed = OrderPlaced {
        order_id: text(),
        lines: vec![PlacedLine { sku: text(), quantity: 1 }],
        total: Some(Money { minor_units: 1, currency: text() }),
        payment_method: text(),
        customer_id: text(),
    };
    assert_eq!(OrderPlaced::decode(bytes.as_slice()), Ok(placed));
}

#[test]
fn what_never_reads_stays_empty() {
    assert!(with_every_field(&|_| false).is_empty());
}
