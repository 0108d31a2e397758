use proto::{
    inventory::Item,
    order::{Order, OrderStatus},
    payment::Payment,
    saga::{DefinitionSummary, GetSagaResponse, Saga},
    shop::Money,
};

use super::*;

#[test]
fn messages_are_written_as_canonical_json() {
    let order = Order {
        order_id: "o".to_owned(),
        status: OrderStatus::Confirmed.into(),
        total: Some(Money { minor_units: 1_999, currency: "EUR".to_owned() }),
        placed_at: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
        ..Order::default()
    };
    let text = json(&Canonical(&order), false).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["orderId"], "o");
    assert_eq!(value["status"], "ORDER_STATUS_CONFIRMED");
    assert_eq!(value["total"]["minorUnits"], "1999");
    assert_eq!(value["placedAt"], "1970-01-01T00:00:01.500Z");
    assert_eq!(value["reason"], "", "a script finds every plain field");
}

#[test]
fn a_table_has_no_margins() {
    let mut table = table(&["SKU", "NAME"]);
    table.add_row(["SKU-1", "Mug"]);
    assert_eq!(lines(&table), "SKU    NAME\nSKU-1  Mug");
}

#[test]
fn every_message_that_is_printed_has_a_description() {
    fn check<M: Message + Name + Default>() {
        let text = json(&Canonical(&M::default()), true);
        assert!(text.is_ok(), "{}: {text:?}", M::full_name());
    }
    check::<Order>();
    check::<Item>();
    check::<Payment>();
    check::<Saga>();
    check::<GetSagaResponse>();
    check::<DefinitionSummary>();
}
