//! Commands that come twice, too early, too late, or after everything else.

use std::time::{Duration, Instant};

use messaging::message::{Outcome, span_id};

use crate::{
    counted::counted,
    post::{Letter, Saga},
    shop::{Desk, Inventory, Request},
    world::{PATIENCE, World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_twice_has_one_effect_and_gets_the_same_answer() {
    let world = World::new("twice").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());

    let command = saga.reserve(1, "apple");
    post.send(&command).await;
    post.send(&command).await;
    // Asked again for want of an answer, and for the last time: behind it nothing is left.
    post.send(&saga.reserve(2, "apple")).await;

    let replies = post.replies(&saga, 3).await;
    for (reply, attempt) in replies.iter().zip([1, 1, 2]) {
        let envelope = reply.envelope();
        assert_eq!(envelope.outcome, Some(Outcome::Succeeded));
        assert_eq!(envelope.kind, "shop.inventory.v1.StockReserved");
        assert_eq!(reply.attempt(), attempt);
    }
    let (reply, command) = (replies[0].envelope(), command.envelope());
    assert_eq!(reply.causation_id, Some(command.id));
    assert_eq!(reply.trace.trace_id, command.trace.trace_id);
    assert_eq!(reply.trace.parent_id, span_id(command.id));
    assert_eq!(effects(&world, &saga).await, ["reserve apple"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_undoes_the_start_of_a_saga_is_run_though_nobody_was_asked_for_the_start() {
    let world = World::new("start").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());

    post.send(&saga.release(1).about("start", Some(true.into()))).await;

    assert_eq!(post.replies(&saga, 1).await[0].outcome(), Outcome::Succeeded);
    assert_eq!(effects(&world, &saga).await, ["release"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_holds_for_its_attempt_and_a_later_one_is_judged_anew() {
    let world = World::new("refusal").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());
    let refused = Outcome::Refused("there is none".to_owned());

    post.send(&saga.reserve(2, "none")).await;
    assert_eq!(post.replies(&saga, 1).await[0].outcome(), refused);

    let in_stock = sqlx::query("INSERT INTO in_stock VALUES ($1)");
    in_stock.bind(&saga.order_id).execute(&world.db).await.unwrap();
    for attempt in [2, 1, 3, 1] {
        post.send(&saga.reserve(attempt, "none")).await;
    }
    let replies = post.replies(&saga, 5).await;
    assert_eq!(replies[1].outcome(), refused);
    assert_eq!(replies[2].outcome(), refused);
    assert_eq!(replies[3].outcome(), Outcome::Succeeded);
    // An old asking that was overtaken by a success learns of it.
    assert_eq!(replies[4].outcome(), Outcome::Succeeded);
    assert_eq!(effects(&world, &saga).await, ["reserve none"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_undo_came_first_is_refused() {
    let world = World::new("tombstone").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());

    post.send_all(&[saga.release(1), saga.reserve(1, "apple"), saga.release(2)]).await;

    let replies = post.replies(&saga, 3).await;
    assert_eq!(replies[0].outcome(), Outcome::Succeeded);
    assert_eq!(replies[0].envelope().kind, "shop.inventory.v1.StockReleased");
    let too_late = "undone before it was done".to_owned();
    assert_eq!(replies[1].outcome(), Outcome::Refused(too_late));
    assert_eq!(replies[2].outcome(), Outcome::Succeeded);
    assert_eq!(effects(&world, &saga).await, [""; 0]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_undone_once() {
    let world = World::new("undone").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());

    post.send_all(&[saga.reserve(1, "apple"), saga.release(1), saga.release(1)]).await;
    post.replies(&saga, 3).await;
    post.send_all(&[saga.release(2), saga.reserve(1, "apple")]).await;

    let replies = post.replies(&saga, 5).await;
    assert_eq!(replies[3].outcome(), Outcome::Succeeded);
    assert!(matches!(replies[4].outcome(), Outcome::Refused(_)));
    assert_eq!(effects(&world, &saga).await, ["reserve apple", "release"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_answer_is_given_later_to_the_latest_asking() {
    let world = World::new("deferred").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let desk = process.writer(Desk);
    let (post, saga) = (world.post(), Saga::new());

    post.send_all(&[saga.reserve(1, "later"), saga.reserve(2, "later")]).await;
    // The old one comes again, and does not put back the clock.
    post.send(&saga.reserve(1, "later")).await;
    post.send(&saga.asks(&commit(&saga), "commit-stock", "invoke", 1)).await;
    // Nothing but the answer to the last one: the others are still to come.
    assert_eq!(post.replies(&saga, 1).await[0].envelope().kind, COMMITTED);

    let reserved = Request::Reserved { order_id: saga.order_id.clone() };
    assert!(desk.write(reserved.clone()).await.unwrap());
    assert!(!desk.write(reserved).await.unwrap(), "nobody waits any more");
    post.send(&saga.reserve(3, "later")).await;
    let replies = post.replies(&saga, 3).await;
    assert_eq!((replies[1].outcome(), replies[1].attempt()), (Outcome::Succeeded, 2));
    assert_eq!((replies[2].outcome(), replies[2].attempt()), (Outcome::Succeeded, 3));
    assert_eq!(effects(&world, &saga).await, ["reserve later", "commit"]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_given_while_it_is_asked_for_again_stands() {
    let world = World::new("deferred-race").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let (post, saga) = (world.post(), Saga::new());
    post.send(&saga.reserve(1, "later")).await;
    let deferred = "SELECT count(*) FROM inbox_command WHERE stands = 'deferred'";
    world.until(deferred, 1).await;

    let mut other = world.db.begin().await.unwrap();
    sqlx::query(
        "UPDATE inbox_command
         SET stands = 'succeeded', reply = 'shop.inventory.v1.StockReserved', payload = ''",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    post.send(&saga.reserve(2, "later")).await;
    world.until_held_up("deferred-race.commands.0").await;
    other.commit().await.unwrap();

    // Behind it nothing is left.
    post.send(&saga.asks(&commit(&saga), "commit-stock", "invoke", 1)).await;
    let replies = post.replies(&saga, 1).await;
    assert_eq!(replies[0].outcome(), Outcome::Succeeded);
    assert_eq!(replies[0].envelope().kind, "shop.inventory.v1.StockReserved");
    assert_eq!(replies[0].attempt(), 2);
    assert_eq!(world.number(deferred).await, 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_undone_meanwhile_gets_no_late_answer() {
    let world = World::new("deferred-undone").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let desk = process.writer(Desk);
    let (post, saga) = (world.post(), Saga::new());

    post.send_all(&[saga.reserve(1, "later"), saga.release(1)]).await;
    let replies = post.replies(&saga, 1).await;
    assert_eq!(replies[0].envelope().kind, "shop.inventory.v1.StockReleased");
    let reserved = Request::Reserved { order_id: saga.order_id.clone() };
    assert!(!desk.write(reserved).await.unwrap());
    assert_eq!(effects(&world, &saga).await, ["reserve later", "release"]);
    process.stop().await;
}

pub(crate) const COMMITTED: &str = "shop.inventory.v1.StockCommitted";

pub(crate) fn commit(saga: &Saga) -> proto::inventory::CommitStock {
    proto::inventory::CommitStock { order_id: saga.order_id.clone() }
}

/// Of one order, in order.
pub(crate) async fn effects(world: &World, saga: &Saga) -> Vec<String> {
    sqlx::query_scalar("SELECT what FROM effect WHERE order_id = $1 ORDER BY id")
        .bind(&saga.order_id)
        .fetch_all(&world.db)
        .await
        .unwrap()
}

/// Busy for long enough that records are gathered: the consumer is made anew for that, and again
/// when it is quiet.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_its_effect_once_however_records_are_fetched() {
    let world = World::new("fetching").await;
    let mut process = world.start("0").await;
    process.participant(Inventory);
    let post = world.post();
    let switch_count =
        || counted("consumer_fetching_switched_total", "lane", "fetching.commands.0");
    let mut sagas: Vec<Saga> = Vec::new();
    let began = Instant::now();
    // Some 1,500 a second.
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while switch_count() == 0 {
        ticks.tick().await;
        assert!(began.elapsed() < PATIENCE, "it is not busy with {} commands", sagas.len());
        let more: Vec<Saga> = (0..300).map(|_| Saga::new()).collect();
        let commands: Vec<Letter> = more.iter().map(|saga| saga.reserve(1, "apple")).collect();
        post.send_all(&commands).await;
        sagas.extend(more);
    }
    let is_quiet = eventually(async || (switch_count() == 2).then_some(()));
    assert!(is_quiet.await.is_some());
    let last = Saga::new();
    post.send(&last.reserve(1, "apple")).await;
    sagas.push(last);

    for replies in post.replies_to_all(&sagas).await {
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].outcome(), Outcome::Succeeded);
    }
    let effect_count = world.number("SELECT count(*) FROM effect").await;
    assert_eq!(effect_count, sagas.len() as i64);
    process.stop().await;
}
