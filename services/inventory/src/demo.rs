//! A catalogue to try things with.

use crate::catalog::{Change, Restock};

/// Name, price in euro cents and pieces of `SKU-1`, `SKU-2`, …
const DEMO_ITEMS: [(&str, i64, i64); 9] = [
    ("Espresso cup", 1_290, 1_000_000),
    ("Teapot, 1 litre", 3_450, 1_000_000),
    ("Linen notebook", 990, 1_000_000),
    ("Fountain pen", 4_900, 1_000_000),
    ("Desk lamp", 7_995, 1_000_000),
    ("Wool blanket", 8_900, 1_000_000),
    ("Walnut bookend", 2_750, 1_000_000),
    ("Travel adapter", 1_999, 1_000_000),
    ("Grandfather clock, the last one", 249_000, 1),
];

/// What lists it.
pub(crate) fn changes() -> Vec<Change> {
    let changes = |(index, (name, price_minor, quantity)): (usize, &(&str, i64, i64))| {
        let sku = format!("SKU-{}", index + 1);
        let restock = Restock { sku: sku.clone(), quantity: *quantity };
        let (name, currency) = ((*name).to_owned(), "EUR".to_owned());
        [
            Change::Put { sku: sku.clone(), name, price_minor: *price_minor, currency },
            Change::Restock { request_id: format!("demo-catalog-{sku}"), restock },
        ]
    };
    DEMO_ITEMS.iter().enumerate().flat_map(changes).collect()
}
