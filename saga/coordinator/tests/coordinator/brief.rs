//! Sagas that are short enough to be led by hand.

use std::time::Duration;

use proto::{
    order::{ApproveOrder, OrderPlaced, RejectOrder},
    payment::{AuthorizePayment, CapturePayment, PaymentAuthorized, VoidPayment},
};
use saga_core::{AfterPivot, Cause, Draft, Registry, Saga};
use serde::{Deserialize, Serialize};

/// The money is held, and the order approved.
pub fn brief() -> Saga {
    brief_within(Duration::from_mins(5)).build()
}

/// As [`brief`], and then the money is taken: another version of it.
pub fn longer() -> Saga {
    let draft = brief_within(Duration::from_mins(5));
    draft
        .retriable("capture-payment", |order| CapturePayment { order_id: order.id.clone() })
        .build()
}

/// As [`brief`]; the money is waited for only so long.
pub fn impatient(patience: Duration) -> Saga {
    brief_within(patience).build()
}

pub fn registry() -> Registry {
    Registry::default().current(brief())
}

/// What the saga remembers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    id: String,
    authorization: String,
}

fn brief_within(patience: Duration) -> Draft<Order, AfterPivot, ApproveOrder> {
    let keep = |event: OrderPlaced| Order { id: event.order_id, authorization: String::new() };
    let reject = |order: &Order, cause: &Cause| RejectOrder {
        order_id: order.id.clone(),
        reason: cause.to_string(),
    };
    Saga::define("brief")
        .started_by("create-order", keep, reject)
        .compensatable("authorize-payment", authorize, void)
        .within(patience)
        .on_reply(|order, reply: PaymentAuthorized| order.authorization = reply.authorization)
        .pivot("approve-order", |order| ApproveOrder { order_id: order.id.clone() })
}

fn authorize(order: &Order) -> AuthorizePayment {
    AuthorizePayment { order_id: order.id.clone(), ..AuthorizePayment::default() }
}

fn void(order: &Order) -> VoidPayment {
    VoidPayment { order_id: order.id.clone() }
}
