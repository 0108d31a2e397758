//! What a request for an order must be like, and what it costs.

use std::collections::HashMap;

use bootstrap::{Problem, Violations};
use messaging::message::time_in;
use prost::Message;
use proto::{
    can_be_sku, is_currency,
    order::{OrderLine, PlaceOrderRequest},
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Line, Order, Status},
    refused::Refused,
};

/// A request that can become an order, if the catalogue has what it asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Placing {
    /// Of the order to be. It is known before the order is, so that who follows the order does so
    /// before anything can happen to it.
    pub(crate) order_id: Uuid,
    pub(crate) request_id: String,
    /// Of everything but the request id, whatever the order of the lines.
    pub(crate) hash: [u8; 32],
    lines: Vec<OrderLine>,
    payment_method: String,
    customer_id: String,
    /// Empty when any is right.
    currency: String,
}

/// What the catalogue says about an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Price {
    pub(crate) minor_units: i64,
    pub(crate) currency: String,
}

const MAX_LINES: usize = 100;
const MAX_QUANTITY: u32 = 10_000;
/// In characters.
const MAX_ID_LENGTH: usize = 128;
/// So that sums over many orders stay numbers.
const MAX_TOTAL_MINOR: i64 = 1_000_000_000_000_000;

impl Placing {
    /// Checks all that can be checked without the catalogue.
    pub(crate) fn parse(request: PlaceOrderRequest) -> Result<Self, Refused> {
        let mut found = Violations::default();
        let PlaceOrderRequest { request_id, lines, payment_method, customer_id, currency } =
            &request;
        found.check_request_id(request_id);
        check_lines(lines, &mut found);
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if payment_method.is_empty() {
            found.add("payment_method", "is missing; give the token of one, such as 'tok_ok'");
        } else if payment_method.len() > MAX_ID_LENGTH || !payment_method.chars().all(is_token) {
            let rule = "must be 1 to 128 letters, digits, '_' or '-'";
            found.add("payment_method", rule);
        }
        found.check_text("customer_id", customer_id, MAX_ID_LENGTH);
        if !currency.is_empty() && !is_currency(currency) {
            found.add("currency", "must be an ISO 4217 code such as 'EUR', or be left out");
        }
        refuse(found, "INVALID_ARGUMENT")?;

        let hash = hash_of(&request);
        let PlaceOrderRequest { request_id, lines, payment_method, customer_id, currency } =
            request;
        let order_id = Uuid::now_v7();
        Ok(Placing { order_id, request_id, hash, lines, payment_method, customer_id, currency })
    }

    pub(crate) fn skus(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.sku.as_str())
    }

    /// The order at the prices of the catalogue.
    pub(crate) fn price(&self, catalog: &HashMap<String, Price>) -> Result<Order, Refused> {
        let (mut unknown, mut foreign) = (Violations::default(), Violations::default());
        let mut currency = self.currency.as_str();
        let mut lines = Vec::with_capacity(self.lines.len());
        let mut total = Some(0_i64);
        for (index, OrderLine { sku, quantity }) in self.lines.iter().enumerate() {
            let Some(price) = catalog.get(sku) else {
                let text = format!(
                    "'{sku}' is not in the catalogue; ListCatalog tells what can be ordered"
                );
                unknown.add(format!("lines[{index}].sku"), text);
                continue;
            };
            if currency.is_empty() {
                currency = &price.currency;
            } else if price.currency != currency {
                let text = format!(
                    "'{sku}' is sold in {}, not in {currency}; an order has one currency",
                    price.currency
                );
                foreign.add(format!("lines[{index}].sku"), text);
            }
            let cost = price.minor_units.checked_mul(i64::from(*quantity));
            total = total.and_then(|total| total.checked_add(cost?));
            lines.push(Line {
                sku: sku.clone(),
                quantity: *quantity,
                unit_price_minor: price.minor_units,
            });
        }
        refuse(unknown, "UNKNOWN_SKU")?;
        refuse(foreign, "CURRENCY_MISMATCH")?;
        let Some(total_minor) = total.filter(|total| *total <= MAX_TOTAL_MINOR) else {
            let text = format!("cost more than {MAX_TOTAL_MINOR} minor units; order less at once");
            let violations = vec![("lines".to_owned(), text)];
            return Err(Refused::Invalid { reason: "TOTAL_TOO_LARGE", violations });
        };
        Ok(Order {
            id: self.order_id,
            status: Status::Pending,
            customer_id: self.customer_id.clone(),
            payment_method: self.payment_method.clone(),
            currency: currency.to_owned(),
            total_minor,
            lines,
            reason: String::new(),
            // Ids are ours, of version 7.
            placed_at: time_in(self.order_id).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            decided_at: None,
        })
    }
}

fn check_lines(lines: &[OrderLine], found: &mut Violations) {
    if lines.is_empty() {
        found.add("lines", "are missing; an order has 1 to 100");
    }
    if lines.len() > MAX_LINES {
        // The lines themselves are not looked at: there may be millions.
        found.add("lines", format!("are {}; an order has 1 to {MAX_LINES}", lines.len()));
        return;
    }
    let mut seen = HashMap::new();
    for (index, OrderLine { sku, quantity }) in lines.iter().enumerate() {
        let field = format!("lines[{index}].sku");
        if !can_be_sku(sku) {
            found.add(field, "must be 1 to 64 letters, digits, '-', '_' or '.'");
        } else if let Some(first) = seen.insert(sku, index) {
            let text = format!("is that of lines[{first}] again; add up their quantities");
            found.add(field, text);
        }
        if !(1..=MAX_QUANTITY).contains(quantity) {
            let text = format!("is {quantity}, must be 1 to {MAX_QUANTITY}");
            found.add(format!("lines[{index}].quantity"), text);
        }
    }
}

fn hash_of(request: &PlaceOrderRequest) -> [u8; 32] {
    let mut content = PlaceOrderRequest { request_id: String::new(), ..request.clone() };
    content.lines.sort_unstable_by(|one, other| one.sku.cmp(&other.sku));
    Sha256::digest(content.encode_to_vec()).into()
}

fn refuse(found: Violations, reason: &'static str) -> Result<(), Refused> {
    found.into_result().map_err(|violations| Refused::Invalid { reason, violations })
}

/// What the customer says about a cancellation.
pub(crate) fn check_reason(reason: &str) -> Result<(), Problem> {
    let mut found = Violations::default();
    found.check_text("reason", reason, MAX_REASON_LENGTH);
    found.or(())
}

/// In characters.
const MAX_REASON_LENGTH: usize = 512;

/// A customer to look for.
pub(crate) fn check_customer_id(customer_id: &str) -> Result<(), Problem> {
    let mut found = Violations::default();
    found.check_text("customer_id", customer_id, MAX_ID_LENGTH);
    found.or(())
}

#[cfg(test)]
mod tests;
