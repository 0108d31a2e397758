//! Requests as they may be: everything that is wrong with one is said at once.

use bootstrap::Problem;
use proto::inventory::{PutItemRequest, RestockRequest};

use crate::{
    catalog::{Change, Restock},
    domain::{SKU_LENGTH_MAX, can_be_sku},
};

const NAME_LENGTH_MAX: usize = 200;
const REQUEST_ID_LENGTH_MAX: usize = 100;
/// In minor units; times any quantity of an order it can still be counted.
const PRICE_MAX: i64 = 1_000_000_000;
const RESTOCK_MAX: i64 = 1_000_000_000;

pub(super) fn sku(sku: String) -> Result<String, Problem> {
    let mut violations = Violations::default();
    violations.check_sku(&sku);
    violations.or(sku)
}

pub(super) fn put(request: PutItemRequest) -> Result<Change, Problem> {
    let PutItemRequest { sku, name, price } = request;
    let price = price.unwrap_or_default();
    let mut violations = Violations::default();
    violations.check_sku(&sku);
    violations.check("name", is_line(&name, NAME_LENGTH_MAX), || {
        format!("must be 1 to {NAME_LENGTH_MAX} characters without control characters")
    });
    violations.check("price.minor_units", (1..=PRICE_MAX).contains(&price.minor_units), || {
        format!("must be 1 to {PRICE_MAX}, in the currency's minor unit")
    });
    violations.check("price.currency", is_currency(&price.currency), || {
        "must be an ISO 4217 code such as EUR".to_owned()
    });
    let (price_minor, currency) = (price.minor_units, price.currency);
    violations.or(Change::Put { sku, name, price_minor, currency })
}

pub(super) fn restock(request: RestockRequest) -> Result<Change, Problem> {
    let RestockRequest { sku, quantity, request_id } = request;
    let mut violations = Violations::default();
    violations.check_sku(&sku);
    violations.check("quantity", (1..=RESTOCK_MAX).contains(&quantity), || {
        format!("must be 1 to {RESTOCK_MAX}")
    });
    violations.check("request_id", is_line(&request_id, REQUEST_ID_LENGTH_MAX), || {
        format!(
            "must be 1 to {REQUEST_ID_LENGTH_MAX} characters, for instance a UUID: the same one \
             again does not bring the pieces in twice"
        )
    });
    violations.or(Change::Restock { request_id, restock: Restock { sku, quantity } })
}

fn is_line(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.chars().count())
        && !text.trim().is_empty()
        && !text.contains(char::is_control)
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[derive(Default)]
struct Violations(Vec<(String, String)>);

impl Violations {
    fn check(&mut self, field: &str, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.0.push((field.to_owned(), what()));
        }
    }

    fn check_sku(&mut self, sku: &str) {
        self.check("sku", can_be_sku(sku), || {
            format!("must be 1 to {SKU_LENGTH_MAX} letters, digits, '-', '_' or '.'")
        });
    }

    fn or<T>(self, request: T) -> Result<T, Problem> {
        if self.0.is_empty() {
            return Ok(request);
        }
        Err(Problem::InvalidArgument { reason: "INVALID_ARGUMENT", violations: self.0 })
    }
}
