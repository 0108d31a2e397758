//! A Kafka that forgets everything, and servers that die under load and come back.

use provision::{Kafka, Postgres, kafka, postgres};
use system_tests::{Placed, Service, Shop, Site};
use tempfile::TempDir;

use crate::{
    books::{all_end, all_end_as_their_cards_say},
    crashes::until_nobody_takes_the_money,
};

/// Orders before and after something goes wrong.
const ORDERS: usize = 20;

/// A broker of its own, and where its data lies.
async fn broker() -> (Kafka, kafka::Options, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("kafka");
    let options = kafka::Options { throw_away: true, ..kafka::Options::new(data_dir) };
    (Kafka::start(options.clone()).await.unwrap(), options, folder)
}

async fn shop_on(broker: &Kafka, name: &str) -> Shop {
    Shop::open_at(name, Site { brokers: Some(broker.brokers()), ..Site::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_loses_every_topic_and_no_order_is_lost() {
    let (mut broker, options, _folder) = broker().await;
    let mut shop = shop_on(&broker, "amnesia").await;

    // Commands that nobody has heard, and orders that no saga has begun for: all in Kafka, and in
    // the memory of no producer.
    let unpaid = until_nobody_takes_the_money(&mut shop).await;
    shop.has_published(Service::Coordinator).await;
    shop.kill(Service::Coordinator);
    let unbegun = shop.place_many(ORDERS).await;
    shop.has_published(Service::Order).await;

    let port = broker.port();
    broker.kill();
    provision::remove(&options.data_dir).unwrap();
    // Placed while there is no Kafka at all: acknowledged by Postgres alone.
    let mut placed = shop.place_many(ORDERS).await;
    broker = Kafka::start(kafka::Options { port, ..options }).await.unwrap();
    shop.start(Service::Payment);
    shop.start(Service::Coordinator);

    placed.extend(unbegun);
    placed.extend(unpaid.iter().cloned());
    all_end(&shop, &placed).await;
    shop.metrics_that(Service::Order, |metrics| {
        metrics.sum("events_announced_again_total") >= Some(1.0)
    })
    .await;
    // Sent again; or, where all this took longer than one attempt may, asked for anew.
    let counted = shop.metrics_that(Service::Coordinator, |_| true).await;
    let mut asked_again = counted.sum("saga_commands_resent_total") >= Some(1.0);
    for Placed { order_id, .. } in &unpaid {
        let journal = shop.ended(order_id).await.journal;
        asked_again |= journal
            .iter()
            .any(|entry| (&*entry.happened, &*entry.step) == ("timed-out", "capture-payment"));
    }
    assert!(asked_again, "no command was lost with Kafka");
    drop(shop);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_dies_under_load_and_comes_back() {
    let (mut broker, _, _folder) = broker().await;
    let shop = shop_on(&broker, "broker").await;
    let mut wave = shop.wave();
    wave.goes_on_for(ORDERS).await;
    broker.kill();
    wave.goes_on_for(ORDERS).await;
    broker.restart().await.unwrap();
    wave.goes_on_for(ORDERS).await;
    end_of(&shop, wave.end().await).await;
    drop(shop);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_dies_under_load_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = postgres::Options {
        durable: false,
        shared_buffers_mb: 64,
        throw_away: true,
        ..postgres::Options::new(folder.path().join("postgres"))
    };
    let mut postgres = Postgres::start(options).await.unwrap();
    let site = Site { postgres: Some(&postgres), ..Site::default() };
    let shop = Shop::open_at("postgres", site).await;
    let mut wave = shop.wave();
    wave.goes_on_for(ORDERS).await;
    postgres.kill();
    postgres.restart().await.unwrap();
    wave.goes_on_for(ORDERS).await;
    end_of(&shop, wave.end().await).await;
    drop(shop);
    postgres.stop().await;
}

/// All have ended, and it is as if nothing had been.
async fn end_of(shop: &Shop, mut placed: Vec<Placed>) {
    all_end(shop, &placed).await;
    let later = shop.place_many(3).await;
    all_end_as_their_cards_say(shop, &later).await;
    placed.extend(later);
    all_end(shop, &placed).await;
}
