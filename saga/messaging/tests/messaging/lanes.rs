//! Lanes that lose their connection, their owner, or their process.

use std::time::Duration;

use messaging::{message::Outcome, writer::NotWritten};
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use crate::{
    commands::effects,
    events::members,
    post::{Letter, Saga},
    shop::{Desk, Inventory, Request},
    world::{World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_lose_nothing_and_repeat_nothing() {
    let world = World::new("killed").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let post = world.post();
    let sagas: Vec<Saga> = (0..300).map(|_| Saga::new()).collect();

    let mut killed = 0;
    for some in sagas.chunks(30) {
        let letters: Vec<Letter> = some.iter().map(|saga| saga.reserve(1, "apple")).collect();
        post.send_all(&letters).await;
        killed += world.number(&sessions("pg_terminate_backend(pid)", "killed.commands.0")).await;
    }
    assert!(killed > 0);

    world.until("SELECT count(*) FROM effect WHERE what = 'reserve apple'", 300).await;
    for (saga, replies) in sagas.iter().zip(post.replies_to_all(&sagas).await) {
        assert!(replies.iter().all(|reply| reply.outcome() == Outcome::Succeeded));
        assert_eq!(effects(&world, saga).await, ["reserve apple"]);
    }
    // Numbered without a hole.
    let holes = "SELECT max(seq) - count(*) FROM outbox WHERE lane = 'killed.commands.0'";
    assert_eq!(world.number(holes).await, 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lane_waits_to_handle_may_go_to_another_and_come_back() {
    let world = World::new("paused").await;
    let post = world.post();
    let mut first = world.start("0").await;
    first.participant(Inventory);
    assert_eq!(members(&world, "paused").await, ["paused.commands.0"]);
    world.run("ALTER TABLE effect RENAME TO gone").await;
    let asked: Vec<Saga> = (0..40).map(|_| Saga::new()).collect();
    let letters: Vec<Letter> = asked.iter().map(|saga| saga.reserve(1, "apple")).collect();
    post.send_all(&letters).await;
    world.until_failing("paused.commands.0").await;

    // It gives its partitions back while it waits, and gets half of them again while it works.
    let mut second = world.start("1").await;
    second.participant(Inventory);
    let both = eventually(async || (members(&world, "paused").await.len() == 2).then_some(()));
    both.await.unwrap();
    world.run("ALTER TABLE gone RENAME TO effect").await;

    let replies = post.replies_to_all(&asked).await;
    assert!(replies.iter().flatten().all(|reply| reply.outcome() == Outcome::Succeeded));

    // What went comes back, and is read.
    second.stop().await;
    let asked_later: Vec<Saga> = (0..40).map(|_| Saga::new()).collect();
    let letters: Vec<Letter> = asked_later.iter().map(|saga| saga.reserve(1, "apple")).collect();
    post.send_all(&letters).await;
    post.replies_to_all(&asked_later).await;
    world.until("SELECT count(*) FROM effect WHERE what = 'reserve apple'", 80).await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_commit_begins_the_next_transaction_and_silence_ends_it() {
    let world = World::new("ahead").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let post = world.post();
    let in_state = |state: &str| {
        let of_the_lane = sessions("true", "ahead.commands.0");
        format!("{of_the_lane} AND state = '{state}'")
    };
    let begun_ahead = in_state("idle in transaction") + " AND query LIKE '%COMMIT AND CHAIN'";

    let mut sent = 0;
    let seen = eventually(async || {
        let letters: Vec<Letter> = (0..50).map(|_| Saga::new().reserve(1, "apple")).collect();
        post.send_all(&letters).await;
        sent += 50;
        (world.number(&begun_ahead).await == 1).then_some(())
    });
    assert!(seen.await.is_some(), "each transaction is begun for itself");

    world.until("SELECT count(*) FROM effect WHERE what = 'reserve apple'", sent).await;
    world.until(&in_state("idle"), 1).await;
    // What the lane does without a transaction is not caught in one.
    let unmarked =
        "SELECT last_seq - published_seq FROM outbox_lane WHERE lane = 'ahead.commands.0'";
    world.until(unmarked, 0).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_lane_to_another_owner_commits_nothing_more() {
    let world = World::new("fenced").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    let post = world.post();
    let list = |revision| Request::List { sku: "fenced/item".to_owned(), revision };
    desk.write(list(1)).await.unwrap();
    let epoch = "SELECT epoch FROM outbox_lane WHERE lane = 'fenced.api.0'";
    assert_eq!(world.number(epoch).await, 1);
    world.until("SELECT published_seq FROM outbox_lane", 1).await;

    // As another owner would have it, who wrote a row meanwhile.
    world.run("UPDATE outbox_lane SET epoch = 7, last_seq = last_seq + 1").await;
    world
        .run(
            "INSERT INTO outbox (lane, seq, topic, key, envelope, payload)
             SELECT lane, 2, topic, key, envelope, payload FROM outbox",
        )
        .await;
    desk.write(list(2)).await.unwrap();

    // The lane was claimed anew, and what the other owner wrote comes first.
    assert_eq!(world.number(epoch).await, 8);
    assert_eq!(world.number("SELECT count(*) FROM effect WHERE what = 'list 2'").await, 1);
    assert_eq!(world.number("SELECT max(seq) FROM outbox").await, 3);
    let told = post.read("inventory.events.v1", 3, |event| event.key == b"fenced").await;
    assert_eq!(told[0].payload, told[1].payload);
    assert_ne!(told[1].payload, told[2].payload);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_the_same_name_waits_and_takes_over() {
    let world = World::new("standby").await;
    let post = world.post();
    let mut first = world.start("0").await;
    first.participant(Inventory);
    let saga = Saga::new();
    post.send(&saga.reserve(1, "apple")).await;
    post.replies(&saga, 1).await;

    let mut second = world.start("0").await;
    second.participant(Inventory);
    world.until(&sessions("true", "standby.commands.0"), 2).await;
    // The first one is not driven out, neither of the database nor of the group.
    for _ in 0..5 {
        let saga = Saga::new();
        post.send(&saga.reserve(1, "apple")).await;
        assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    }
    let epoch = "SELECT epoch FROM outbox_lane WHERE lane = 'standby.commands.0'";
    assert_eq!(world.number(epoch).await, 1);

    first.stop().await;
    let saga = Saga::new();
    post.send(&saga.reserve(1, "apple")).await;
    assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    assert_eq!(world.number(epoch).await, 2);
    assert_eq!(effects(&world, &saga).await, ["reserve apple"]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lanes_of_one_name_in_a_process_are_refused_instead_of_waiting_for_each_other() {
    let world = World::new("twice").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let epoch = "SELECT coalesce(max(epoch), 0) FROM outbox_lane WHERE lane = 'twice.commands.0'";
    world.until(epoch, 1).await;
    let refused = process.messaging.participant("commands", Inventory).await.unwrap_err();
    assert!(refused.to_string().contains("a name of its own"), "{refused}");

    // What runs is not disturbed.
    let (post, saga) = (world.post(), Saga::new());
    post.send(&saga.reserve(1, "apple")).await;
    assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_transaction_is_cut_off_is_done_by_either_of_two() {
    let world = World::new("swapped").await;
    let post = world.post();
    let mut first = world.start("0").await;
    first.participant(Inventory);
    let epoch = "SELECT coalesce(max(epoch), 0) FROM outbox_lane WHERE lane = 'swapped.commands.0'";
    world.until(epoch, 1).await;
    let mut second = world.start("0").await;
    second.participant(Inventory);
    world.until(&sessions("true", "swapped.commands.0"), 2).await;

    // The lock goes to whoever asks first; the command is done once in either case.
    for round in 0..3 {
        let blocking = world.hold_up().await;
        let saga = Saga::new();
        post.send(&saga.reserve(1, "apple")).await;
        world.until_held_up("swapped.commands.0").await;
        let cut_off = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND application_name = 'swapped.commands.0'";
        assert_eq!(world.number(cut_off).await, 1);
        blocking.rollback().await.unwrap();
        let reply = post.replies(&saga, 1).await;
        assert_eq!(reply[0].outcome(), Outcome::Succeeded, "in round {round}");
        assert_eq!(effects(&world, &saga).await, ["reserve apple"]);
    }
    first.stop().await;
    let saga = Saga::new();
    post.send(&saga.reserve(1, "apple")).await;
    post.replies(&saga, 1).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_loses_its_lane_to_a_standby_says_so_and_waits() {
    let world = World::new("ousted").await;
    let list = |revision| Request::List { sku: "ousted/item".to_owned(), revision };
    let mut first = world.start("0").await;
    let first_desk = first.writer(Desk);
    first_desk.write(list(1)).await.unwrap();
    let mut second = world.start("0").await;
    let second_desk = second.writer(Desk);
    world.until(&sessions("true", "ousted.api.0"), 2).await;

    world.until("SELECT last_seq - published_seq FROM outbox_lane", 0).await;
    let owner = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_database
         ON pg_locks.database = pg_database.oid AND datname = current_database()
         WHERE locktype = 'advisory' AND granted AND pid IN
            (SELECT pid FROM pg_stat_activity WHERE application_name = 'ousted.api.0')";
    // The first one notices within a second: should it be quicker, it has the lane again.
    let taken_over = eventually(async || {
        world.number(owner).await;
        timeout(Duration::from_secs(5), second_desk.ready()).await.ok()
    });
    taken_over.await.unwrap();
    assert!(matches!(first_desk.write(list(2)).await, Err(NotWritten::Unavailable(_))));
    first_desk.readiness().wait_for(|ready| !ready).await.unwrap();
    // Who asks now is not kept waiting.
    assert!(matches!(first_desk.write(list(3)).await, Err(NotWritten::Unavailable(_))));
    second_desk.write(list(4)).await.unwrap();

    second.stop().await;
    first_desk.ready().await;
    first_desk.write(list(5)).await.unwrap();
    let done = "SELECT count(*) FROM effect WHERE what IN ('list 1', 'list 4', 'list 5')";
    assert_eq!(world.number(done).await, 3);
    assert_eq!(world.number("SELECT count(*) FROM effect").await, 3);
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_left_that_does_not_come_back_is_published_by_another() {
    let world = World::new("adopted").await;
    let mut process = world.start("1").await;
    // Committed, and killed before it could publish.
    world
        .run(
            "INSERT INTO outbox_lane (lane, last_seq, published_seq) VALUES ('adopted.api.0', 30, 10);
             INSERT INTO outbox (lane, seq, topic, key, envelope, payload)
             SELECT 'adopted.api.0', n, 'inventory.events.v1', 'adopted',
                json_build_array(json_build_array('n', n::text)), ''
             FROM generate_series(1, 30) AS n",
        )
        .await;
    process.housekeeping();

    let left = world.post().read("inventory.events.v1", 20, |event| event.key == b"adopted").await;
    let order: Vec<&[u8]> = left.iter().map(|event| event.header("n").unwrap()).collect();
    let wanted: Vec<String> = (11..=30).map(|n| n.to_string()).collect();
    assert_eq!(order, wanted.iter().map(String::as_bytes).collect::<Vec<_>>());
    world.until("SELECT published_seq FROM outbox_lane WHERE lane = 'adopted.api.0'", 30).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lane_of_a_living_process_is_not_adopted() {
    let world = World::new("living").await;
    let mut living = world.start("0").await;
    let desk = living.writer(Desk);
    desk.write(Request::List { sku: "living/item".to_owned(), revision: 1 }).await.unwrap();
    let mut other = world.start("1").await;
    other.housekeeping();
    // Rows as if the broker were slow, on a lane that has an owner; and on one that has none.
    world
        .run(
            "INSERT INTO outbox_lane (lane, last_seq) VALUES ('living.dead.0', 1);
             UPDATE outbox_lane SET last_seq = last_seq + 1 WHERE lane = 'living.api.0'",
        )
        .await;
    world.until("SELECT epoch FROM outbox_lane WHERE lane = 'living.dead.0'", 2).await;
    // The other one has been round, but may have come to the living lane last. It adopts this one a
    // round later.
    world.run("INSERT INTO outbox_lane (lane, last_seq) VALUES ('living.dead.1', 1)").await;
    world.until("SELECT epoch FROM outbox_lane WHERE lane = 'living.dead.1'", 2).await;
    assert_eq!(world.number("SELECT epoch FROM outbox_lane WHERE lane = 'living.api.0'").await, 1);
    other.stop().await;
    living.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_come_and_go_with_time() {
    let world = World::new("partitions").await;
    let process = world.start("0").await;
    let there = async |name: &str| {
        let name = format!("SELECT count(*) FROM pg_class WHERE relname = '{name}'");
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(name)).fetch_one(&world.db).await.unwrap() == 1
    };
    world
        .run(
            "CREATE TABLE outbox_2020010100 PARTITION OF outbox
                FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-01 01:00Z');
             CREATE TABLE outbox_2020010101 PARTITION OF outbox
                FOR VALUES FROM ('2020-01-01 01:00Z') TO ('2020-01-01 02:00Z');
             INSERT INTO outbox_lane (lane, last_seq, published_seq) VALUES ('old', 2, 1);
             INSERT INTO outbox (lane, seq, written_at, topic, key, envelope, payload)
             VALUES ('old', 1, '2020-01-01 00:30Z', 'inventory.events.v1', '', '[]', ''),
                    ('old', 2, '2020-01-01 01:30Z', 'inventory.events.v1', '', '[]', ''),
                    -- Their hour had no partition.
                    ('old', 1, '2019-06-01 00:00Z', 'inventory.events.v1', '', '[]', ''),
                    ('old', 2, '2019-06-01 00:00Z', 'inventory.events.v1', '', '[]', '');
             CREATE TABLE inbox_event_2020010100 PARTITION OF inbox_event
                FOR VALUES FROM ('016f5e66-e800-0000-0000-000000000000')
                        TO ('016f638d-4400-0000-0000-000000000000');",
        )
        .await;
    let again = world.start("0").await;

    assert!(!there("inbox_event_2020010100").await);
    assert!(!there("outbox_2020010100").await);
    assert!(there("outbox_2020010101").await, "it has a row that is not published");
    let left = "SELECT sum(seq)::bigint FROM outbox_default";
    assert_eq!(world.number(left).await, 2, "only what is not published is left");
    // What is written now has a partition of its own.
    let mut process = process;
    let desk = process.writer(Desk);
    desk.write(Request::List { sku: "partitions/item".to_owned(), revision: 1 }).await.unwrap();
    assert_eq!(world.number(left).await, 2);
    process.stop().await;
    again.stop().await;
}

/// `what` of every session of that name.
fn sessions(what: &str, name: &str) -> String {
    format!("SELECT count({what}) FROM pg_stat_activity WHERE application_name = '{name}'")
}
