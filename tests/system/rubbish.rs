//! Bytes that nobody can read, in every topic that somebody reads.

use proto::order::OrderStatus;
use system_tests::{Order, Outsider, Service, Shop};
use uuid::Uuid;

/// With a message that belongs there, and who reads it.
const TOPICS: [(&str, &str, Service); 6] = [
    ("order.events.v1", "shop.order.v1.OrderPlaced", Service::Coordinator),
    ("inventory.events.v1", "shop.inventory.v1.ItemListed", Service::Order),
    ("order.commands.v1", "shop.order.v1.ApproveOrder", Service::Order),
    ("inventory.commands.v1", "shop.inventory.v1.ReserveStock", Service::Inventory),
    ("payment.commands.v1", "shop.payment.v1.AuthorizePayment", Service::Payment),
    ("saga.replies.v1", "shop.inventory.v1.StockReserved", Service::Coordinator),
];

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_in_any_topic_is_set_aside_and_the_next_order_completes() {
    let shop = Shop::open("rubbish").await;
    let topics = TOPICS.map(|(topic, ..)| topic);
    let mut outsider = Outsider::beside(&shop, &topics).await;
    for (topic, kind, reader) in TOPICS {
        let key = Uuid::now_v7().to_string();
        outsider.says_rubbish(topic, kind, &key).await;
        outsider.hears_of_dead_letter(topic, &key).await;
        let label = format!(r#"topic="{topic}""#);
        let counted = |metrics: &system_tests::Metrics| {
            metrics.sum_where("dead_letters_total", &label) >= Some(1.0)
        };
        shop.metrics_that(reader, counted).await;

        let order_id = shop.place(Order::of("SKU-1", 1)).await;
        assert_eq!(shop.decided(&order_id).await.status(), OrderStatus::Confirmed, "{topic}");
        shop.ended(&order_id).await;
    }
    shop.books().await.balance();
}
