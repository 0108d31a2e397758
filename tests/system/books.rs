//! What must be true of orders at the end, whatever happened to the processes.

use proto::{
    order::{self, OrderStatus},
    saga::SagaStatus,
};
use system_tests::{Placed, Shop};

/// Nothing stood in their way for long.
pub(crate) async fn all_end_as_their_cards_say(shop: &Shop, placed: &[Placed]) {
    for Placed { order_id, is_payable } in placed {
        let order = shop.decided(order_id).await;
        if *is_payable {
            assert_eq!(order.status(), OrderStatus::Confirmed, "{order:?}");
        } else {
            is_declined(&order);
        }
        shop.ended(order_id).await;
    }
}

/// The orders of a shop, after an outage that may have lasted longer than a saga waits: all have
/// ended, none was confirmed with a bad card, none was lost or made up, and the books balance.
pub(crate) async fn all_end(shop: &Shop, placed: &[Placed]) {
    for Placed { order_id, is_payable } in placed {
        let order = shop.decided(order_id).await;
        if order.status() == OrderStatus::Confirmed {
            assert!(is_payable, "{order:?}");
        } else if !order.reason.contains("was not answered in time") {
            assert!(!is_payable, "{order:?}");
            is_declined(&order);
        }
        shop.ended(order_id).await;
    }
    let books = shop.books().await;
    let confirmed = books.order_count(OrderStatus::Confirmed);
    let cancelled = books.order_count(OrderStatus::Cancelled);
    assert_eq!(confirmed + cancelled, placed.len() as i64);
    assert_eq!(shop.count(&[SagaStatus::Completed]).await as i64, confirmed);
    assert_eq!(shop.count(&[SagaStatus::Compensated]).await as i64, cancelled);
    books.balance();
}

fn is_declined(order: &order::Order) {
    assert_eq!(order.status(), OrderStatus::Cancelled, "{order:?}");
    assert!(order.reason.contains("declined"), "{order:?}");
}
