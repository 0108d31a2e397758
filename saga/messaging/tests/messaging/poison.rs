//! What cannot be handled becomes a dead letter as it came, and the lane goes on.

use messaging::{
    Error, Handler, Record, Tx,
    dead_letter::{self, DeadLetter},
    message::Outcome,
};
use proto::inventory::CommitStock;
use uuid::Uuid;

use crate::{
    commands::{COMMITTED, commit, effects},
    post::{Letter, Saga, plain},
    shop::{Catalog, Inventory, listed},
    wire,
    world::{World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_poison_becomes_a_dead_letter_and_the_lane_goes_on() {
    let world = World::new("poison").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let post = world.post();
    let asks = || Saga::new().reserve(1, "apple");
    let broken = |name: &str, value: Option<&[u8]>| asks().with(name, value);
    let about = |field: &str, value: serde_json::Value| asks().about(field, Some(value));
    let poison = [
        ("not a shop.inventory.v1.ReserveStock", Letter { payload: vec![7; 9], ..asks() }),
        ("not a message known here", broken("ce_type", Some(b"shop.Unheard"))),
        ("no header `ce_id`", Letter { headers: Vec::new(), ..asks() }),
        ("no header `ce_type`", broken("ce_type", None)),
        ("no header `ce_type`", broken("ce_type", Some(b"\xff\xfe"))),
        ("`ce_id` cannot be `7`", broken("ce_id", Some(b"7"))),
        ("which saga asks", broken("saga", None)),
        ("which saga asks", asks().about("id", None)),
        ("`saga` does not say its `step`", asks().about("step", None)),
        ("`saga` cannot have the attempt 0", about("attempt", 0.into())),
        ("`saga` cannot have the attempt 2147483648", about("attempt", 2_147_483_648_u32.into())),
        ("`saga` cannot be read: unknown variant `up`", about("direction", "up".into())),
        ("`saga` cannot be read: expected value", broken("saga", Some(b"reserve-stock"))),
        ("not of version 7", about("id", "9b2ef2a1-6b6b-4b6b-8b6b-9b2ef2a16b6b".into())),
        ("does not reach back", about("id", "018bcfe5-6800-7000-8000-000000000000".into())),
        ("cannot count to three", Saga::new().reserve(1, "panics")),
        ("the shop.inventory.v1.ItemListed for", Saga::new().reserve(1, "huge")),
        ("taken_pkey", Saga::new().reserve(1, "taken")),
        ("0x00", Saga::new().reserve(1, "\0")),
        ("0x00", about("step", "reserve\0stock".into())),
    ];
    for (_, letter) in &poison {
        post.send(letter).await;
    }

    let dead_letters = post.read("inventory.commands.v1.dead", poison.len(), |_| true).await;
    let sagas: Vec<Saga> = poison
        .iter()
        .filter(|(_, letter)| envelope_is_readable(letter))
        .map(|(_, letter)| Saga { id: Uuid::nil(), order_id: key_of(letter) })
        .collect();
    let replies = post.replies_to_all(&sagas).await;
    for (reason, letter) in poison {
        let dead = dead_letters.iter().find(|dead| dead.key == letter.key).unwrap();
        assert_eq!(dead.payload, letter.payload);
        let (said, came) = dead.headers.split_last().unwrap();
        assert_eq!(came, letter.headers, "{reason}");
        assert_eq!(said.0, dead_letter::HEADER);
        let said: DeadLetter = serde_json::from_slice(&said.1).unwrap();
        assert!(said.reason.contains(reason), "{} is not {reason}", said.reason);
        assert_eq!((said.topic.as_str(), said.set_aside_by.as_str()), (COMMANDS, world.service));
        // The saga, if it is known, need not wait for ever.
        let order_id = key_of(&letter);
        if let Some(known) = sagas.iter().position(|saga| saga.order_id == order_id) {
            let Outcome::Parked(why) = replies[known][0].outcome() else { panic!("{replies:?}") };
            assert!(why.contains(reason), "{why} is not {reason}");
        }
        let effects = format!("SELECT count(*) FROM effect WHERE order_id = '{order_id}'");
        assert_eq!(world.number(&effects).await, 0);
    }
    // Those that failed by themselves were given three chances, the others none.
    let culprits = "SELECT count(*) FROM inbox_culprit WHERE failure_count = 3";
    assert_eq!(world.number(culprits).await, 5);

    let saga = Saga::new();
    post.send(&saga.reserve(1, "apple")).await;
    assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_only_at_its_commit_has_told_nobody() {
    let world = World::new("commit-fails").await;
    world
        .run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN RAISE EXCEPTION 'no lemons'; END $$;
             CREATE CONSTRAINT TRIGGER no_lemons AFTER INSERT ON effect
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
                WHEN (new.what = 'reserve lemon') EXECUTE FUNCTION refuse()",
        )
        .await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());

    let behind = saga.asks(&commit(&saga), "commit-stock", "invoke", 1);
    post.send_all(&[saga.reserve(1, "lemon"), behind]).await;

    let replies = post.replies(&saga, 2).await;
    let Outcome::Parked(why) = replies[0].outcome() else { panic!("{replies:?}") };
    assert!(why.contains("no lemons"), "{why}");
    assert_eq!(replies[1].envelope().kind, COMMITTED);
    assert_eq!(effects(&world, &saga).await, ["commit"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_in_the_batch_of_a_culprit_have_their_effect_once() {
    let world = World::new("culprit").await;
    let post = world.post();
    let sagas: Vec<Saga> = (0..40).map(|_| Saga::new()).collect();
    let sku = |n: usize| if n % 16 == 5 { "panics" } else { "apple" };
    let letters: Vec<Letter> =
        sagas.iter().enumerate().map(|(n, saga)| saga.reserve(1, sku(n))).collect();
    let mut process = world.start("0").await;
    post.send_all(&letters).await;
    process.participant(Inventory);

    let replies = post.replies_to_all(&sagas).await;
    for (n, (saga, replies)) in sagas.iter().zip(replies).enumerate() {
        // No batch that failed has told anybody anything.
        let [reply] = replies.as_slice() else { panic!("{n} got {replies:?}") };
        let is_culprit = sku(n) == "panics";
        assert_eq!(matches!(reply.outcome(), Outcome::Parked(_)), is_culprit, "{n} got {reply:?}");
        assert_eq!(effects(&world, saga).await.len(), usize::from(!is_culprit));
    }
    // Some shared a batch, or there was nothing to split.
    let effect_count = world.number("SELECT count(*) FROM effect").await;
    let commit_count = world.number("SELECT count(DISTINCT tx) FROM effect").await;
    assert!(commit_count < effect_count, "{commit_count} commits for {effect_count} effects");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_becomes_a_dead_letter() {
    let world = World::new("poison-event").await;
    let mut process = world.start("0").await;
    process.subscriber("catalog", Catalog);
    let (post, sku) = (world.post(), Uuid::now_v7().to_string());
    let good = plain("inventory.events.v1", &sku, &listed(&sku, 1));
    let bad = Letter { payload: vec![7; 9], ..good.clone() };
    let of_no_interest = plain("inventory.events.v1", &sku, &CommitStock::default());

    post.send_all(&[bad.clone(), of_no_interest, good]).await;

    world.until("SELECT count(*) FROM effect WHERE what = 'heard 1'", 1).await;
    let (key, service) = (bad.key.clone(), world.service);
    let dead = post.read("inventory.events.v1.dead", 1, move |dead| {
        dead.key == key && said_by(dead).set_aside_by == service
    });
    assert_eq!(dead.await[0].payload, bad.payload);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_before_the_inbox_becomes_a_dead_letter() {
    let world = World::new("horizon").await;
    let mut process = world.start("0").await;
    process.subscriber("catalog", Catalog);
    let (post, sku) = (world.post(), Uuid::now_v7().to_string());
    let [old, foreign, good] = [1, 2, 3].map(|n| plain(TOPIC, &sku, &listed(&sku, n)));
    let old = old.with("ce_id", Some(b"018bcfe5-6800-7000-8000-000000000000"));
    let foreign = foreign.with("ce_id", Some(b"9b2ef2a1-6b6b-4b6b-8b6b-9b2ef2a16b6b"));

    post.send_all(&[old, foreign, good]).await;

    world.until("SELECT count(*) FROM effect WHERE what = 'heard 3'", 1).await;
    assert_eq!(world.number("SELECT count(*) FROM effect").await, 1);
    let dead = post.read("inventory.events.v1.dead", 2, |_| true).await;
    for (dead, reason) in dead.iter().zip(["does not reach back", "not of version 7"]) {
        assert!(said_by(dead).reason.contains(reason), "{dead:?} is not {reason}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_whose_name_is_not_text_becomes_a_dead_letter() {
    let world = World::new("nameless").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());
    let Letter { key, payload, .. } = saga.reserve(1, "apple");

    let topic = format!("{}{COMMANDS}", world.kafka.namespace);
    let sent = eventually(async || {
        let headers: [(&[u8], &[u8]); 1] = [(b"\xff", b"1")];
        wire::produce(&world.kafka.brokers, &topic, &key, &payload, &headers).then_some(())
    });
    assert!(sent.await.is_some());

    let dead = post.read("inventory.commands.v1.dead", 1, |_| true).await;
    assert_eq!((&dead[0].key, &dead[0].payload), (&key, &payload));
    assert_eq!(said_by(&dead[0]).reason, "the name of a header is not UTF-8");
    post.send(&saga.reserve(1, "apple")).await;
    assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    assert_eq!(effects(&world, &saga).await, ["reserve apple"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_for_the_dead_letters_is_kept_by_its_beginning() {
    let world = World::new("large").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());
    let large = Letter { payload: vec![7; 2_000_000], ..saga.reserve(1, "apple") };

    post.send_all(&[large.clone(), saga.reserve(2, "apple")]).await;

    let replies = post.replies(&saga, 2).await;
    assert!(matches!(replies[0].outcome(), Outcome::Parked(_)), "{:?}", replies[0]);
    assert_eq!(replies[1].outcome(), Outcome::Succeeded);
    let dead = post.read("inventory.commands.v1.dead", 1, |_| true).await;
    let headers = dead[0].headers.iter().map(|(name, value)| name.len() + value.len());
    let size = headers.sum::<usize>() + dead[0].key.len() + dead[0].payload.len();
    assert_eq!(size, 1_900_000);
    assert!(large.payload.starts_with(&dead[0].payload));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_even_be_answered_is_set_aside_without_a_word() {
    let world = World::new("unanswerable").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());
    // Every reply has to repeat it.
    let definition = "x".repeat(900_000);
    let unanswerable = saga.reserve(1, "apple").about("definition", Some(definition.into()));

    let behind = saga.asks(&commit(&saga), "commit-stock", "invoke", 1);
    post.send_all(&[unanswerable.clone(), behind]).await;

    assert_eq!(post.replies(&saga, 1).await[0].envelope().kind, COMMITTED);
    let dead = post.read("inventory.commands.v1.dead", 1, |_| true).await;
    assert_eq!(dead[0].payload, unanswerable.payload);
    let reason = said_by(&dead[0]).reason;
    assert!(reason.contains("900000 are allowed"), "{reason}");
    assert_eq!(effects(&world, &saga).await, ["commit"]);
    process.stop().await;
}

/// Keeps an error of the database to itself.
struct Secretive;

impl Handler for Secretive {
    async fn handle(&mut self, tx: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        for record in batch {
            sqlx::query("INSERT INTO effect (order_id, what) VALUES ($1, 'kept')")
                .bind(String::from_utf8_lossy(&record.key))
                .execute(&mut **tx)
                .await?;
            if record.payload == b"wrong" {
                sqlx::query("SELECT 1 / 0").execute(&mut **tx).await.ok();
            }
        }
        Ok(())
    }

    async fn set_aside(&mut self, _: &mut Tx<'_>, _: &Record, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_a_handler_keeps_to_itself_loses_nothing() {
    let mut world = World::new("secretive").await;
    let topic = "secrets.v1".to_owned();
    world.topics.push(topic.clone());
    let process = world.start("0").await;
    let post = world.post();
    let plain = plain(&topic, "right", &CommitStock::default());
    let right =
        |key: &[u8]| Letter { key: key.to_vec(), payload: b"right".to_vec(), ..plain.clone() };
    let wrong = Letter { key: b"wrong".to_vec(), payload: b"wrong".to_vec(), ..plain.clone() };
    post.send_all(&[right(b"one"), wrong, right(b"two")]).await;

    let mut process = process;
    let messaging = process.messaging.clone();
    process.spawn(async move { messaging.consumer("secrets", vec![topic], Secretive).await });

    post.read("secrets.v1.dead", 1, |dead| dead.key == b"wrong").await;
    world.until("SELECT count(*) FROM effect WHERE order_id IN ('one', 'two')", 2).await;
    assert_eq!(world.number("SELECT count(*) FROM effect").await, 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failures_of_a_culprit_are_remembered_over_a_restart() {
    let mut world = World::new("remembered").await;
    let topic = "remembered.v1".to_owned();
    world.topics.push(topic.clone());
    let mut process = world.start("0").await;
    let post = world.post();
    let wrong = plain(&topic, "wrong", &CommitStock::default());
    post.send(&Letter { payload: b"wrong".to_vec(), ..wrong }).await;
    // It failed twice before the process died.
    for partition in 0..4 {
        world
            .run(&format!(
                "INSERT INTO inbox_culprit (topic, record_part, record_offset, failure_count, reason)
                 VALUES ('{topic}', {partition}, 0, 2, 'as before')"
            ))
            .await;
    }
    let messaging = process.messaging.clone();
    process.spawn(async move { messaging.consumer("secrets", vec![topic], Secretive).await });

    post.read("remembered.v1.dead", 1, |dead| dead.key == b"wrong").await;
    assert_eq!(world.number("SELECT sum(failure_count)::bigint FROM inbox_culprit").await, 9);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_with_poison_keeps_the_order_of_each_key() {
    let world = World::new("poison-order").await;
    let post = world.post();
    let saga = Saga::new();
    let mut process = world.start("0").await;
    post.send_all(&[
        saga.reserve(1, "apple"),
        Saga::new().reserve(1, "panics"),
        Letter { payload: vec![7; 9], ..saga.reserve(2, "apple") },
        saga.asks(&commit(&saga), "commit-stock", "invoke", 1),
    ])
    .await;
    process.participant(Inventory);

    let replies = post.replies(&saga, 3).await;
    assert_eq!(replies[0].envelope().kind, "shop.inventory.v1.StockReserved");
    assert!(matches!(replies[1].outcome(), Outcome::Parked(_)));
    assert_eq!(replies[2].envelope().kind, COMMITTED);
    process.stop().await;
}

const COMMANDS: &str = "inventory.commands.v1";
const TOPIC: &str = "inventory.events.v1";

fn said_by(dead: &Letter) -> DeadLetter {
    serde_json::from_slice(dead.header(dead_letter::HEADER).unwrap()).unwrap()
}

fn key_of(letter: &Letter) -> String {
    String::from_utf8(letter.key.clone()).unwrap()
}

fn envelope_is_readable(letter: &Letter) -> bool {
    std::panic::catch_unwind(|| letter.envelope().saga.is_some()).unwrap_or(false)
}
