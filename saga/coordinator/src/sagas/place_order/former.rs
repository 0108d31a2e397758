//! What place-order was, for the orders that began with it. One goes when no saga of it is under way
//! anywhere any more.

use std::time::Duration;

use saga_core::Saga;

use super::{
    PlaceOrder, approve_order, authorize_payment, capture_payment, commit_stock, reject_order,
    release_stock, reserve_stock, void_payment,
};

/// The stock left the house after the money was taken.
pub fn charged_then_shipped() -> Saga {
    Saga::define("place-order")
        .decided_within(Duration::from_mins(15))
        .started_by("create-order", PlaceOrder::from_event, reject_order)
        .parallel(|group| {
            group
                .compensatable("reserve-stock", reserve_stock, release_stock)
                .within(Duration::from_secs(30))
                .compensatable("authorize-payment", authorize_payment, void_payment)
                .within(Duration::from_secs(15))
        })
        .pivot("approve-order", approve_order)
        .retriable("capture-payment", capture_payment)
        .retriable("commit-stock", commit_stock)
        .build()
}
