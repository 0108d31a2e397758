//! Events that come twice, and records that come again because their offset was not committed.

use std::time::Duration;

use messaging::message::Outcome;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};
use uuid::Uuid;

use crate::{
    commands::effects,
    post::{Saga, plain},
    shop::{Catalog, Inventory, listed},
    world::{World, eventually},
};

const TOPIC: &str = "inventory.events.v1";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_twice_is_heard_once_by_whichever_process() {
    let world = World::new("heard-once").await;
    let (post, sku) = (world.post(), Uuid::now_v7().to_string());
    let [first, second, third] = [1, 2, 3].map(|n| plain(TOPIC, &sku, &listed(&sku, n)));

    let mut process = world.start("0").await;
    process.subscriber("catalog", Catalog);
    post.send_all(&[first.clone(), first.clone(), second.clone()]).await;
    heard(&world, &sku, &["heard 1", "heard 2"]).await;
    process.stop().await;

    let mut process = world.start("1").await;
    process.subscriber("catalog", Catalog);
    post.send_all(&[first, second, third]).await;
    heard(&world, &sku, &["heard 1", "heard 2", "heard 3"]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handled_changes_nothing_when_it_comes_again() {
    let world = World::new("rewound").await;
    let (post, saga, sku) = (world.post(), Saga::new(), Uuid::now_v7().to_string());
    let mut process = world.start("0").await;
    process.participant(Inventory);
    process.subscriber("catalog", Catalog);
    post.send_all(&[saga.reserve(1, "apple"), plain(TOPIC, &sku, &listed(&sku, 1))]).await;
    let before = post.replies(&saga, 1).await;
    heard(&world, &sku, &["heard 1"]).await;
    process.stop().await;

    rewind(&world).await;

    let mut process = world.start("0").await;
    process.participant(Inventory);
    process.subscriber("catalog", Catalog);
    let again = post.replies(&saga, 2).await;
    assert_eq!(again[1].outcome(), before[0].outcome());
    assert_eq!(again[1].payload, before[0].payload);
    // Behind it nothing is left.
    post.send_all(&[saga.release(1), plain(TOPIC, &sku, &listed(&sku, 2))]).await;
    post.replies(&saga, 3).await;
    heard(&world, &sku, &["heard 1", "heard 2"]).await;
    assert_eq!(effects(&world, &saga).await, ["reserve apple", "release"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_and_not_committed_comes_again() {
    let world = World::new("uncommitted").await;
    let (post, saga) = (world.post(), Saga::new());
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let blocking = world.hold_up().await;

    post.send(&saga.reserve(1, "apple")).await;
    world.until_held_up("uncommitted.commands.0").await;
    process.shutdown.cancel();
    world
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'uncommitted.commands.0'",
        )
        .await;
    process.stop().await;
    blocking.rollback().await.unwrap();
    assert_eq!(effects(&world, &saga).await, [""; 0]);

    let mut process = world.start("0").await;
    process.participant(Inventory);
    assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    assert_eq!(effects(&world, &saga).await, ["reserve apple"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_events_does_not_hold_up_commands_by_joining() {
    let world = World::new("own-group").await;
    let (post, saga, sku) = (world.post(), Saga::new(), Uuid::now_v7().to_string());
    let mut process = world.start("0").await;
    process.subscriber("catalog", Catalog);
    post.send(&plain(TOPIC, &sku, &listed(&sku, 1))).await;
    heard(&world, &sku, &["heard 1"]).await;
    process.participant(Inventory);
    post.send(&saga.reserve(1, "apple")).await;
    post.replies(&saga, 1).await;

    // Members of one group hold each other up: whoever joins gets nothing until all have joined again.
    assert_eq!(members(&world, "own-group").await, ["own-group.commands.0"]);
    assert_eq!(members(&world, "own-group.catalog").await, ["own-group.catalog.0"]);
    process.stop().await;
}

async fn heard(world: &World, sku: &str, wanted: &[&str]) {
    let saga = Saga { id: Uuid::nil(), order_id: sku.to_owned() };
    let mut seen = Vec::new();
    let all = eventually(async || {
        seen = effects(world, &saga).await;
        (seen.len() >= wanted.len()).then_some(())
    });
    all.await;
    assert_eq!(seen, wanted);
}

/// As if nothing that was handled had been committed to the groups.
async fn rewind(world: &World) {
    for (group, topic) in [("", "inventory.commands.v1"), (".catalog", TOPIC)] {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &world.kafka.brokers)
            .set("group.id", format!("{}{}{group}", world.kafka.namespace, world.service))
            .create()
            .unwrap();
        let topic = format!("{}{topic}", world.kafka.namespace);
        let mut offsets = TopicPartitionList::new();
        for partition in 0..4 {
            offsets.add_partition_offset(&topic, partition, Offset::Offset(0)).unwrap();
        }
        // Only a group without members lets itself be rewound: the last one's session has to end.
        let rewound = eventually(async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            consumer.commit(&offsets, CommitMode::Sync).ok()
        });
        assert!(rewound.await.is_some());
    }
}

/// The members of a group, once it has some and does not change.
pub(crate) async fn members(world: &World, group: &str) -> Vec<String> {
    let group = format!("{}{group}", world.kafka.namespace);
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &world.kafka.brokers).create().unwrap();
    let stable = eventually(async || {
        let groups = client.fetch_group_list(Some(&group), Duration::from_secs(10)).ok()?;
        let group = groups.groups().iter().find(|group| group.state() == "Stable")?;
        Some(group.members().iter().map(|member| member.client_id().to_owned()).collect())
    });
    stable.await.unwrap()
}
