//! Each way an order can end.

use proto::{
    order::{self, OrderStatus},
    payment::{self, PaymentStatus},
    saga::SagaStatus,
};
use system_tests::{Order, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_ends_as_it_should() {
    let shop = Shop::open("endings").await;
    // One shop for all: each looks at its own order, and all together at the books.
    tokio::join!(
        an_order_in_stock_and_paid_is_confirmed(&shop),
        an_order_beyond_the_stock_is_cancelled(&shop),
        a_declined_card_gives_the_stock_back(&shop),
        a_flaky_gateway_is_asked_again(&shop),
        a_silent_gateway_is_given_up_and_voided(&shop),
        a_customer_may_cancel_while_the_order_is_pending(&shop),
        two_orders_for_the_last_item_never_both_get_it(&shop),
    );
    shop.books().await.balance();
}

async fn an_order_in_stock_and_paid_is_confirmed(shop: &Shop) {
    let id = shop.place(Order::of("SKU-1", 2)).await;
    let saga = shop.ended(&id).await;
    assert_eq!(saga.saga.map(|saga| saga.status()), Some(SagaStatus::Completed));
    let order = shop.decided(&id).await;
    assert_eq!(order.status(), OrderStatus::Confirmed);
    assert_eq!(payment_status(shop, &id).await, PaymentStatus::Captured);
    // The price is the catalogue's, times two.
    let item = shop.item("SKU-1").await;
    let price = item.price.unwrap().minor_units;
    assert_eq!(order.total.unwrap().minor_units, 2 * price);
}

async fn an_order_beyond_the_stock_is_cancelled(shop: &Shop) {
    let id = shop.place(Order::of("SKU-9", 2)).await;
    let saga = shop.ended(&id).await.saga.unwrap();
    assert_eq!(saga.status(), SagaStatus::Compensated);
    assert_eq!(saga.cause_step, "reserve-stock");
    let order = shop.decided(&id).await;
    assert_eq!(order.status(), OrderStatus::Cancelled);
    assert!(order.reason.contains("SKU-9"), "{}", order.reason);
    assert_eq!(payment_status(shop, &id).await, PaymentStatus::Voided);
}

async fn a_declined_card_gives_the_stock_back(shop: &Shop) {
    let id = shop.place(Order::of("SKU-3", 5).paid_with("tok_declined")).await;
    let saga = shop.ended(&id).await.saga.unwrap();
    assert_eq!(saga.status(), SagaStatus::Compensated);
    assert_eq!(saga.cause_step, "authorize-payment");
    let order = shop.decided(&id).await;
    assert_eq!(order.status(), OrderStatus::Cancelled);
    assert!(order.reason.contains("declined"), "{}", order.reason);
    let item = shop.item("SKU-3").await;
    assert_eq!((item.reserved, item.committed), (0, 0));
}

async fn a_flaky_gateway_is_asked_again(shop: &Shop) {
    let id = shop.place(Order::of("SKU-4", 1).paid_with("tok_flaky")).await;
    assert_eq!(shop.decided(&id).await.status(), OrderStatus::Confirmed);
    shop.ended(&id).await;
}

async fn a_silent_gateway_is_given_up_and_voided(shop: &Shop) {
    let id = shop.place(Order::of("SKU-5", 1).paid_with("tok_silent")).await;
    let saga = shop.ended(&id).await.saga.unwrap();
    assert_eq!(saga.status(), SagaStatus::Compensated);
    assert_eq!(saga.cause, "authorize-payment was not answered in time");
    assert_eq!(shop.decided(&id).await.status(), OrderStatus::Cancelled);
    assert_eq!(payment_status(shop, &id).await, PaymentStatus::Voided);
}

async fn a_customer_may_cancel_while_the_order_is_pending(shop: &Shop) {
    // A silent gateway keeps it pending.
    let id = shop.place(Order::of("SKU-6", 1).paid_with("tok_silent")).await;
    let request =
        order::CancelOrderRequest { order_id: id.clone(), reason: "changed my mind".to_owned() };
    let cancelling = shop.orders().await.cancel_order(request).await.unwrap().into_inner();
    assert_eq!(cancelling.order.unwrap().status(), OrderStatus::Cancelling);
    let order = shop.decided(&id).await;
    assert_eq!(order.status(), OrderStatus::Cancelled);
    assert!(order.reason.contains("changed my mind"), "{}", order.reason);
    shop.ended(&id).await;
}

async fn two_orders_for_the_last_item_never_both_get_it(shop: &Shop) {
    let (one, other) =
        tokio::join!(shop.place(Order::of("SKU-9", 1)), shop.place(Order::of("SKU-9", 1)));
    let decided = [shop.decided(&one).await, shop.decided(&other).await];
    let confirmed = decided.iter().filter(|order| order.status() == OrderStatus::Confirmed);
    assert_eq!(confirmed.count(), 1, "{decided:?}");
    shop.ended(&one).await;
    shop.ended(&other).await;
    assert_eq!(shop.item("SKU-9").await.available, 0);
}

async fn payment_status(shop: &Shop, order_id: &str) -> PaymentStatus {
    let request = payment::GetPaymentRequest { order_id: order_id.to_owned() };
    let found = shop.payments().await.get_payment(request).await.unwrap();
    found.into_inner().payment.unwrap().status()
}
