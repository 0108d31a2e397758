//! Orders from a file: one JSON object, an array of them, or one object a line, each a
//! `shop.order.v1.PlaceOrderRequest`.

mod unique;

use std::{collections::HashMap, io::Read, path::Path};

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use proto::order::PlaceOrderRequest;
use serde_json::{Deserializer, Value};
use serde_path_to_error::Track;

use self::unique::Unique;
use crate::failure::Failure;

/// The orders in the file; `-` reads stdin.
pub(super) fn read(path: &Path) -> Result<Vec<PlaceOrderRequest>, Failure> {
    let name = path.display();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text =
        text.map_err(|error| Failure::usage(format!("cannot read {name}")).why(error.to_string()))?;
    let orders = parse(text.trim_start_matches(BYTE_ORDER_MARK)).map_err(|why| {
        Failure::usage(format!("cannot read the orders in {name}")).why(why).next(format!(
            "write them like {{\"lines\": [{{\"sku\": \"SKU-1\", \"quantity\": 2}}], \
             \"paymentMethod\": \"{PAYMENT_METHOD}\"}}"
        ))
    })?;
    check_request_ids(&orders)?;
    Ok(orders)
}

/// What an order without one is paid with.
pub(super) const PAYMENT_METHOD: &str = "tok_ok";
/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';
const MAX_BYTES: u64 = 256 * 1024 * 1024;

fn parse(text: &str) -> Result<Vec<PlaceOrderRequest>, String> {
    let descriptor = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)
        .ok()
        .and_then(|pool| pool.get_message_by_name(&PlaceOrderRequest::full_name()))
        .ok_or("this command does not know what an order looks like")?;
    let mut orders = Vec::new();
    for value in Deserializer::from_str(text).into_iter::<Unique>() {
        let Unique(value) = value.map_err(|error| error.to_string())?;
        let several = if let Value::Array(values) = value { values } else { vec![value] };
        for value in several {
            orders.push(order(&descriptor, value, orders.len())?);
        }
    }
    if orders.is_empty() { Err("it is empty".to_owned()) } else { Ok(orders) }
}

/// Two orders of one request id are one order to the service: the second would only seem to be taken.
fn check_request_ids(orders: &[PlaceOrderRequest]) -> Result<(), Failure> {
    let mut numbers = HashMap::new();
    for (order, number) in orders.iter().zip(1_usize..) {
        let request_id = order.request_id.as_str();
        if !request_id.is_empty()
            && let Some(first) = numbers.insert(request_id, number)
        {
            let what =
                format!("orders {first} and {number} have the same requestId '{request_id}'");
            return Err(Failure::usage(what).next("give each one of its own, or none"));
        }
    }
    Ok(())
}

fn order(
    descriptor: &MessageDescriptor,
    value: Value,
    before: usize,
) -> Result<PlaceOrderRequest, String> {
    let wrong = |what: String| format!("order {}: {what}", before + 1);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let message = DynamicMessage::deserialize(descriptor.clone(), tracked);
    let message = message.map_err(|error| match track.path() {
        path if path.iter().next().is_none() => wrong(error.to_string()),
        path => wrong(format!("{path}: {error}")),
    })?;
    PlaceOrderRequest::decode(message.encode_to_vec().as_slice())
        .map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
