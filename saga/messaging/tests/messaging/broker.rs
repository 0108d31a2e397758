//! A Kafka of its own, that goes away and forgets.

use std::time::Duration;

use messaging::Kafka;
use provision::kafka;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use crate::{
    commands::effects,
    post::Saga,
    shop::{Desk, Inventory, Request},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_and_forgets() {
    let folder = std::env::temp_dir().join(format!("saga-messaging-{}", uuid::Uuid::now_v7()));
    let options = kafka::Options { heap_mb: 256, throw_away: true, ..kafka::Options::new(folder) };
    let mut broker = provision::Kafka::start(options).await.unwrap();

    what_was_committed_while_it_was_away_arrives_in_order(&mut broker).await;
    deleted_topics_are_made_again_and_nothing_that_is_written_is_lost(&broker).await;
    a_topic_with_another_number_of_partitions_is_refused(&broker).await;
    broker.stop().await;
}

async fn what_was_committed_while_it_was_away_arrives_in_order(broker: &mut provision::Kafka) {
    let world = World::on(broker.brokers(), "away").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    let list = |revision| Request::List { sku: "away/item".to_owned(), revision };
    desk.write(list(1)).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;

    broker.kill();
    for revision in 2..=40 {
        desk.write(list(revision)).await.unwrap();
    }
    // Stopped, with nothing published: what it had in memory is gone.
    process.stop().await;
    assert_eq!(world.number("SELECT published_seq FROM outbox_lane").await, 1);
    drop(desk);

    broker.restart().await.unwrap();
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list(41)).await.unwrap();

    let told = world.post().read("inventory.events.v1", 41, |event| event.key == b"away").await;
    let ids: Vec<_> = told.iter().map(|event| event.envelope().id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    world.until("SELECT published_seq FROM outbox_lane", 41).await;
    process.stop().await;
}

async fn deleted_topics_are_made_again_and_nothing_that_is_written_is_lost(
    broker: &provision::Kafka,
) {
    let world = World::on(broker.brokers(), "deleted").await;
    let post = world.post();
    let mut process = world.start("0").await;
    process.participant(Inventory);
    process.housekeeping();
    let saga = Saga::new();
    post.send(&saga.reserve(1, "apple")).await;
    post.replies(&saga, 1).await;

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.brokers()).create().unwrap();
    let topics = ["deleted.inventory.commands.v1", "deleted.saga.replies.v1"];
    admin.delete_topics(&topics, &AdminOptions::new()).await.unwrap();
    // Asked by a coordinator that asks again until it is answered.
    let mut attempt = 1;
    let answered = async {
        loop {
            attempt += 1;
            post.send(&saga.reserve(attempt, "apple")).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = answered => {}
        replies = post.replies(&saga, 1) => assert!(replies[0].attempt() > 1),
    }
    assert_eq!(effects(&world, &saga).await, ["reserve apple"]);
    world.until("SELECT sum(last_seq - published_seq)::bigint FROM outbox_lane", 0).await;
    process.stop().await;
}

async fn a_topic_with_another_number_of_partitions_is_refused(broker: &provision::Kafka) {
    let mut world = World::on(broker.brokers(), "partition-count").await;
    world.start("0").await.stop().await;
    world.kafka = Kafka { partition_count: 6, ..world.kafka };
    let Err(refused) = world.try_start("0").await else { panic!("it started") };
    let text = refused.to_string();
    assert!(text.contains("has 4 partitions, this process is configured for 6"), "{text}");
    assert!(text.contains("--partitions 4"), "{text}");
}
