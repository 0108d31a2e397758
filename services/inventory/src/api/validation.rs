//! Requests as they may be: everything that is wrong with one is said at once.

use bootstrap::{Problem, Violations};
use proto::{
    SKU_LENGTH_MAX, can_be_sku,
    inventory::{PutItemRequest, RestockRequest},
    is_currency,
};

use crate::catalog::{Change, Restock};

/// In characters.
const NAME_LENGTH_MAX: usize = 200;
/// In minor units; times any quantity of an order it can still be counted.
const PRICE_MAX: i64 = 1_000_000_000;
const RESTOCK_MAX: i64 = 1_000_000_000;

pub(super) fn sku(sku: String) -> Result<String, Problem> {
    let mut found = Violations::default();
    check_sku(&sku, &mut found);
    found.or(sku)
}

pub(super) fn put(request: PutItemRequest) -> Result<Change, Problem> {
    let PutItemRequest { sku, name, price } = request;
    let price = price.unwrap_or_default();
    let mut found = Violations::default();
    check_sku(&sku, &mut found);
    if name.trim().is_empty() {
        found.add("name", "is missing");
    } else {
        found.check_text("name", &name, NAME_LENGTH_MAX);
    }
    if !(1..=PRICE_MAX).contains(&price.minor_units) {
        let text = format!("must be 1 to {PRICE_MAX}, in the currency's minor unit");
        found.add("price.minor_units", text);
    }
    if !is_currency(&price.currency) {
        found.add("price.currency", "must be an ISO 4217 code such as 'EUR'");
    }
    let (price_minor, currency) = (price.minor_units, price.currency);
    found.or(Change::Put { sku, name, price_minor, currency })
}

pub(super) fn restock(request: RestockRequest) -> Result<Change, Problem> {
    let RestockRequest { sku, quantity, request_id } = request;
    let mut found = Violations::default();
    check_sku(&sku, &mut found);
    if !(1..=RESTOCK_MAX).contains(&quantity) {
        found.add("quantity", format!("must be 1 to {RESTOCK_MAX}"));
    }
    found.check_request_id(&request_id);
    found.or(Change::Restock { request_id, restock: Restock { sku, quantity } })
}

fn check_sku(sku: &str, found: &mut Violations) {
    if !can_be_sku(sku) {
        let text = format!("must be 1 to {SKU_LENGTH_MAX} letters, digits, '-', '_' or '.'");
        found.add("sku", text);
    }
}
