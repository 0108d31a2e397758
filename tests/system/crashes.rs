//! Processes that die in the middle of orders, and a Kafka that forgets everything.

use proto::{order::OrderStatus, saga::SagaStatus};
use provision::{Kafka, kafka};
use system_tests::{Order, Service, Shop};

/// Orders that are under way while something dies.
const ORDERS: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_is_killed_in_mid_saga() {
    survives_the_death_of(&[Service::Coordinator]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_participant_is_killed_in_mid_saga() {
    survives_the_death_of(&[Service::Order, Service::Inventory, Service::Payment]).await;
}

/// Every order that was acknowledged ends once, and the books balance.
async fn survives_the_death_of(victims: &[Service]) {
    let mut shop = Shop::open("crashes").await;
    let mut placed = Vec::new();
    for victim in victims {
        let mut wave = place_many(&shop, ORDERS).await;
        shop.crash(*victim).await;
        placed.append(&mut wave);
    }
    all_end_well(&shop, &placed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_loses_every_topic_and_no_order_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("kafka");
    let options = kafka::Options { throw_away: true, ..kafka::Options::new(&data_dir) };
    let mut broker = Kafka::start(options.clone()).await.unwrap();
    let port = broker.port();
    let shop = Shop::open_on("amnesia", &broker.brokers()).await;

    let placed = place_many(&shop, ORDERS).await;
    broker.kill();
    provision::remove(&data_dir).unwrap();
    // Placed while there is no Kafka at all: acknowledged by Postgres alone.
    let more = place_many(&shop, 20).await;
    broker = Kafka::start(kafka::Options { port, ..options }).await.unwrap();

    let placed: Vec<String> = placed.into_iter().chain(more).collect();
    all_end_well(&shop, &placed).await;
    drop(shop);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_stop_in_good_order() {
    let mut shop = Shop::open("stops").await;
    let id = shop.place(Order::of("SKU-1", 1)).await;
    shop.ended(&id).await;
    for service in Service::ALL {
        assert_eq!(shop.stop(service), Some(0), "{service:?}");
    }
}

/// Every third order has its card declined.
async fn place_many(shop: &Shop, count: usize) -> Vec<String> {
    let mut placed = Vec::with_capacity(count);
    for number in 0..count {
        let token = if number % 3 == 0 { "tok_declined" } else { "tok_ok" };
        let sku = format!("SKU-{}", 1 + number % 8);
        placed.push(shop.place(Order::of(&sku, 1).paid_with(token)).await);
    }
    placed
}

async fn all_end_well(shop: &Shop, placed: &[String]) {
    for id in placed {
        shop.decided(id).await;
        shop.ended(id).await;
    }
    let mut books = shop.books().await;
    // Nothing that was acknowledged is lost, and nothing was made up.
    let confirmed = books.order_count(OrderStatus::Confirmed);
    let cancelled = books.order_count(OrderStatus::Cancelled);
    assert_eq!(confirmed + cancelled, placed.len() as i64);
    assert_eq!(shop.count(&[SagaStatus::Completed]).await as i64, confirmed);
    assert_eq!(shop.count(&[SagaStatus::Compensated]).await as i64, cancelled);
    books = shop.books().await;
    books.balance();
}
