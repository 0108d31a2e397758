use messaging::message::Outcome;
use proto::order::{
    ApproveOrder, CancelOrderRequest, GetOrderRequest, Order, OrderCancelled, OrderConfirmed,
    OrderStatus, RejectOrder,
};
use tonic::{Code, Status};

use crate::world::{Client, World, place, reason, request, world};

async fn cancel(client: &mut Client, order_id: &str, reason: &str) -> Result<Order, Status> {
    let request = CancelOrderRequest { order_id: order_id.to_owned(), reason: reason.to_owned() };
    Ok(client.cancel_order(request).await?.into_inner().order.unwrap())
}

async fn get(client: &mut Client, order_id: &str) -> Order {
    let request = GetOrderRequest { order_id: order_id.to_owned() };
    client.get_order(request).await.unwrap().into_inner().order.unwrap()
}

async fn approve(world: &World, order_id: &str) -> Outcome {
    world.ask(order_id, &ApproveOrder { order_id: order_id.to_owned() }).await
}

async fn reject(world: &World, order_id: &str, reason: &str) -> Outcome {
    let command = RejectOrder { order_id: order_id.to_owned(), reason: reason.to_owned() };
    world.ask(order_id, &command).await
}

#[tokio::test]
async fn an_approved_order_is_confirmed_for_good() {
    let world = world().await;
    let mut client = world.client().await;
    let placed = request();
    let order = place(&mut client, placed.clone()).await.unwrap();
    let id = order.order_id.as_str();

    assert_eq!(approve(&world, id).await, Outcome::Succeeded);
    let confirmed = get(&mut client, id).await;
    assert_eq!(confirmed.status(), OrderStatus::Confirmed);
    assert!(confirmed.decided_at.is_some());
    assert_eq!(world.events::<OrderConfirmed>(id, 1).await[0].order_id, id);

    // Whoever asks now: it stays.
    assert_eq!(approve(&world, id).await, Outcome::Succeeded);
    assert_eq!(reject(&world, id, "too late").await, Outcome::Succeeded);
    let status = cancel(&mut client, id, "").await.unwrap_err();
    let told = (status.code(), reason(&status));
    assert_eq!(told, (Code::FailedPrecondition, "ORDER_CONFIRMED".to_owned()));
    assert_eq!(get(&mut client, id).await, confirmed);
    assert_eq!(world.events::<OrderConfirmed>(id, 1).await.len(), 1);
    // The same request gets the first answer again.
    assert_eq!(place(&mut client, placed).await.unwrap(), order);
}

#[tokio::test]
async fn a_rejected_order_is_cancelled_with_the_reason() {
    let world = world().await;
    let mut client = world.client().await;
    let order = place(&mut client, request()).await.unwrap();
    let id = order.order_id.as_str();

    assert_eq!(reject(&world, id, "the card was declined").await, Outcome::Succeeded);
    let cancelled = get(&mut client, id).await;
    assert_eq!(cancelled.status(), OrderStatus::Cancelled);
    assert_eq!(cancelled.reason, "the card was declined");
    let told = world.events::<OrderCancelled>(id, 1).await;
    assert_eq!(told[0].reason, "the card was declined");

    assert_eq!(reject(&world, id, "another reason").await, Outcome::Succeeded);
    assert!(matches!(approve(&world, id).await, Outcome::Refused(_)));
    assert_eq!(cancel(&mut client, id, "").await.unwrap(), cancelled);
}

#[tokio::test]
async fn an_order_that_the_customer_cancels_is_not_approved_but_rejected() {
    let world = world().await;
    let mut client = world.client().await;
    let order = place(&mut client, request()).await.unwrap();
    let id = order.order_id.as_str();

    let cancelling = cancel(&mut client, id, "found it cheaper").await.unwrap();
    assert_eq!(cancelling.status(), OrderStatus::Cancelling);
    assert_eq!(cancel(&mut client, id, "again").await.unwrap(), cancelling);
    let refused = Outcome::Refused("the customer cancelled it".to_owned());
    assert_eq!(approve(&world, id).await, refused);
    assert_eq!(reject(&world, id, "approve-order: refused").await, Outcome::Succeeded);
    let cancelled = get(&mut client, id).await;
    assert_eq!(cancelled.status(), OrderStatus::Cancelled);
    assert_eq!(cancelled.reason, "found it cheaper");
}

#[tokio::test]
async fn commands_about_orders_that_are_not_there_are_answered() {
    let world = world().await;
    for id in ["0198c0de-0000-7000-8000-000000000000", "no order"] {
        assert!(matches!(approve(&world, id).await, Outcome::Refused(_)));
        assert_eq!(reject(&world, id, "").await, Outcome::Succeeded);
    }
}

#[tokio::test]
async fn cancelling_what_is_not_there_or_with_a_bad_reason_is_refused() {
    let mut client = world().await.client().await;
    let unknown = "0198c0de-0000-7000-8000-000000000000";
    for (id, text, code) in [
        (unknown, "", Code::NotFound),
        ("", "", Code::InvalidArgument),
        ("no id", "", Code::InvalidArgument),
        (unknown, "nul\0", Code::InvalidArgument),
        (unknown, &*"x".repeat(513), Code::InvalidArgument),
    ] {
        assert_eq!(cancel(&mut client, id, text).await.unwrap_err().code(), code, "{id} {text}");
    }
}
