//! Between the service's own types and those of its contract.

use bootstrap::{Problem, timestamp};
use proto::{
    order::{self, CatalogItem, OrderStatus, OrderSummary, PricedLine, Refusal},
    shop::Money,
};
use tonic::Status as GrpcStatus;
use tonic_types::StatusExt;

use crate::{
    domain::{Line, Order, Status},
    store::{Item, Sum},
};

impl From<Order> for order::Order {
    fn from(order: Order) -> Self {
        let currency = order.currency;
        let priced = |Line { sku, quantity, unit_price_minor }| PricedLine {
            sku,
            quantity,
            unit_price: Some(Money { minor_units: unit_price_minor, currency: currency.clone() }),
        };
        order::Order {
            order_id: order.id.to_string(),
            status: OrderStatus::from(order.status).into(),
            lines: order.lines.into_iter().map(priced).collect(),
            total: Some(Money { minor_units: order.total_minor, currency: currency.clone() }),
            payment_method: order.payment_method,
            customer_id: order.customer_id,
            reason: order.reason,
            placed_at: Some(timestamp(order.placed_at)),
            decided_at: order.decided_at.map(timestamp),
        }
    }
}

impl From<Status> for OrderStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => OrderStatus::Pending,
            Status::Cancelling => OrderStatus::Cancelling,
            Status::Confirmed => OrderStatus::Confirmed,
            Status::Cancelled => OrderStatus::Cancelled,
        }
    }
}

impl From<Item> for CatalogItem {
    fn from(Item { sku, name, price_minor, currency }: Item) -> Self {
        CatalogItem { sku, name, price: Some(Money { minor_units: price_minor, currency }) }
    }
}

impl From<Sum> for OrderSummary {
    fn from(sum: Sum) -> Self {
        OrderSummary {
            status: OrderStatus::from(sum.status).into(),
            currency: sum.currency,
            order_count: sum.order_count,
            total_minor_units: sum.total_minor,
            piece_count: sum.piece_count,
        }
    }
}

pub(super) fn status(number: i32) -> Option<Status> {
    match OrderStatus::try_from(number).ok()? {
        OrderStatus::Pending => Some(Status::Pending),
        OrderStatus::Cancelling => Some(Status::Cancelling),
        OrderStatus::Confirmed => Some(Status::Confirmed),
        OrderStatus::Cancelled => Some(Status::Cancelled),
        OrderStatus::Unspecified => None,
    }
}

/// What the caller of a stream is told about one request in it.
pub(super) fn refusal(problem: Problem) -> Refusal {
    let status = GrpcStatus::from(problem);
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    Refusal { code: status.code().into(), reason, message: status.message().to_owned() }
}
