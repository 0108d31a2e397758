//! A Kafka of its own, that goes away and forgets.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use messaging::{Kafka, Writes};
use prost::Message;
use proto::inventory::ItemListed;
use provision::kafka;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    announcing::{Starter, Step},
    commands::effects,
    counted::counted_by_all,
    post::{Letter, Saga},
    shop::{Desk, Inventory, Request},
    world::{PATIENCE, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_and_forgets() {
    let folder = std::env::temp_dir().join(format!("saga-messaging-{}", uuid::Uuid::now_v7()));
    let options = kafka::Options { heap_mb: 256, throw_away: true, ..kafka::Options::new(folder) };
    let mut broker = provision::Kafka::start(options).await.unwrap();

    what_was_committed_while_it_was_away_arrives_in_order(&mut broker).await;
    who_writes_does_not_wait_for_a_broker_that_is_away(&mut broker).await;
    who_stops_does_not_wait_for_the_producer(&mut broker).await;
    who_starts_waits_for_a_broker_that_is_away_unless_told_to_stop(&mut broker).await;
    what_was_reported_lost_is_published_again_in_its_place(&broker).await;
    what_was_announced_outlives_its_topic(&broker).await;
    deleted_topics_are_made_again_and_nothing_that_is_written_is_lost(&broker).await;
    a_topic_with_another_number_of_partitions_is_refused(&broker).await;
    broker.stop().await;
}

async fn what_was_committed_while_it_was_away_arrives_in_order(broker: &mut provision::Kafka) {
    let world = World::on(broker.brokers(), "away").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("away", 1)).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;

    broker.kill();
    for revision in 2..=40 {
        desk.write(list("away", revision)).await.unwrap();
    }
    // Stopped, with nothing published: what it had in memory is gone.
    process.stop().await;
    assert_eq!(world.number("SELECT published_seq FROM outbox_lane").await, 1);
    drop(desk);

    broker.restart().await.unwrap();
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("away", 41)).await.unwrap();

    let told = world.post().read("inventory.events.v1", 41, |event| event.key == b"away").await;
    let ids: Vec<_> = told.iter().map(|event| event.envelope().id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    world.until("SELECT published_seq FROM outbox_lane", 41).await;
    process.stop().await;
}

async fn who_writes_does_not_wait_for_a_broker_that_is_away(broker: &mut provision::Kafka) {
    let world = World::on(broker.brokers(), "full").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("full", 1)).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;

    broker.kill();
    let writing = write_more_than_the_producer_holds(&desk, "full");
    timeout(PATIENCE, writing).await.unwrap().unwrap();
    desk.write(list("full", 27)).await.unwrap();
    broker.restart().await.unwrap();

    let mut told = revisions_up_to(&world, 27).await;
    // What the producer held of a batch that did not fit comes twice.
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (1..=27).collect::<Vec<_>>());
    world.until("SELECT published_seq FROM outbox_lane", 27).await;
    process.stop().await;
}

async fn who_stops_does_not_wait_for_the_producer(broker: &mut provision::Kafka) {
    let world = World::on(broker.brokers(), "full-stop").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("full-stop", 1)).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;

    broker.kill();
    let writing = write_more_than_the_producer_holds(&desk, "full-stop");
    world.until("SELECT last_seq FROM outbox_lane", 26).await;
    timeout(PATIENCE, process.stop()).await.unwrap();
    // They are durable: that they are not published yet is no matter for the callers.
    writing.await.unwrap();
    drop(desk);

    broker.restart().await.unwrap();
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("full-stop", 27)).await.unwrap();
    let mut told = revisions_up_to(&world, 27).await;
    // That each is there is asked here, not their order; a producer that is full again before the
    // broker answers makes some of them come twice.
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (1..=27).collect::<Vec<_>>());
    process.stop().await;
}

async fn who_starts_waits_for_a_broker_that_is_away_unless_told_to_stop(
    broker: &mut provision::Kafka,
) {
    let world = World::on(broker.brokers(), "early").await;
    broker.kill();
    let mut waiting = tokio::spawn({
        let world = world.clone();
        async move { world.start("0").await }
    });
    let stopping = CancellationToken::new();
    stopping.cancel();
    world.try_start_until(stopping, "1").await.unwrap().stop().await;
    // Longer than one try takes, and the pause before the next.
    assert!(timeout(Duration::from_secs(6), &mut waiting).await.is_err(), "Kafka is away");

    broker.restart().await.unwrap();
    let mut process = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    let desk = process.writer(Desk);
    desk.write(list("early", 1)).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;
    process.stop().await;
}

/// From the second revision on, in as few commits as possible.
fn write_more_than_the_producer_holds(desk: &Writes<Desk>, key: &str) -> JoinHandle<()> {
    let large = format!("{key}/{}", "x".repeat(800_000));
    let requests = (2..=26).map(move |revision| Request::List { sku: large.clone(), revision });
    let desk = desk.clone();
    tokio::spawn(async move {
        let answers = join_all(requests.map(|request| desk.write(request))).await;
        assert!(answers.iter().all(|answer| *answer == Ok(true)), "{answers:?}");
    })
}

async fn what_was_reported_lost_is_published_again_in_its_place(broker: &provision::Kafka) {
    let world = World::on(broker.brokers(), "lost").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("lost", 1)).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;

    delete(broker, &["lost.inventory.events.v1"]).await;
    let lost_count = || counted_by_all("outbox_publish_failures_total");
    let (before, began) = (lost_count(), Instant::now());
    let mut revision = 1;
    while lost_count() == before {
        assert!(began.elapsed() < PATIENCE, "nothing is lost of {revision}");
        revision += 1;
        desk.write(list("lost", revision)).await.unwrap();
    }
    let lost_by = revision;
    // Who goes on writing finds the topic there before what was lost is published again.
    process.housekeeping();
    let arrived = format!("SELECT (published_seq > {lost_by})::int::bigint FROM outbox_lane");
    let write_on = async {
        loop {
            revision += 1;
            desk.write(list("lost", revision)).await.unwrap();
        }
    };
    tokio::select! {
        () = write_on => {}
        () = world.until(&arrived, 1) => {}
    }
    revision += 1;
    desk.write(list("lost", revision)).await.unwrap();

    let mut told = revisions_up_to(&world, revision).await;
    // What arrived after something that was lost comes once more.
    let mut seen = HashSet::new();
    told.retain(|revision| seen.insert(*revision));
    let first = told[0];
    assert!(first <= lost_by, "{lost_by} was lost and comes after {first}");
    assert_eq!(told, (first..=revision).collect::<Vec<_>>());
    process.stop().await;
}

/// What the topic tells of the world's key.
async fn revisions_up_to(world: &World, last: i64) -> Vec<i64> {
    let key = world.service.as_bytes();
    let revision =
        |letter: &Letter| ItemListed::decode(letter.payload.as_slice()).unwrap().revision;
    let post = world.post();
    let told = post.read_until("inventory.events.v1", move |letters| {
        letters.last().is_some_and(|letter| letter.key == key && revision(letter) == last)
    });
    told.await.iter().filter(|letter| letter.key == key).map(revision).collect()
}

fn list(key: &str, revision: i64) -> Request {
    Request::List { sku: format!("{key}/item"), revision }
}

async fn delete(broker: &provision::Kafka, topics: &[&str]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.brokers()).create().unwrap();
    admin.delete_topics(topics, &AdminOptions::new()).await.unwrap();
}

async fn what_was_announced_outlives_its_topic(broker: &provision::Kafka) {
    let world = World::on(broker.brokers(), "outlived").await;
    let mut process = world.start("0").await;
    let starter = process.writer(Starter);
    starter.write(vec![Step::Announce("outlived")]).await.unwrap();
    world.until("SELECT published_seq FROM outbox_lane", 1).await;
    let post = world.post();
    let told = post.read("inventory.events.v1", 1, |_| true).await;

    delete(broker, &["outlived.inventory.events.v1"]).await;
    process.housekeeping();
    process.announcing(Duration::from_secs(1));
    let first = told[0].envelope().id;
    let again =
        post.read("inventory.events.v1", 1, move |letter| letter.envelope().id != first).await;
    assert_eq!((&again[0].key, &again[0].payload), (&told[0].key, &told[0].payload));
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

    delete(broker, &["deleted.inventory.commands.v1", "deleted.saga.replies.v1"]).await;
    // Asked by a coordinator that asks again until it is answered.
    let mut attempt = 1;
    let answered = async {
        loop {
            attempt += 1;
            post.send(&saga.reserve(attempt, "apple")).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    // The first answer may be there for a moment longer.
    let key = saga.order_id.clone().into_bytes();
    let is_later = move |reply: &Letter| reply.key == key && reply.attempt() > 1;
    tokio::select! {
        () = answered => {}
        _ = post.read("saga.replies.v1", 1, is_later) => {}
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
