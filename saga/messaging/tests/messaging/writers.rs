//! Requests that share a commit, and callers that come in crowds, go away, or ask for nonsense.

use std::time::Duration;

use futures::{FutureExt, future::join_all};
use messaging::writer::NotWritten;

use crate::{
    shop::{Desk, Request},
    world::{World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_share_a_commit_and_each_gets_its_answer() {
    let world = World::new("group-commit").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);

    let answers = join_all((0..300).map(|n| desk.write(list("group-commit", n)))).await;

    assert!(answers.iter().all(|answer| *answer == Ok(true)));
    assert_eq!(world.number("SELECT count(DISTINCT what) FROM effect").await, 300);
    let commits = world.number("SELECT count(DISTINCT tx) FROM effect").await;
    assert!(commits < 30, "{commits} commits for 300 requests");
    let post = world.post();
    let told = post.read("inventory.events.v1", 300, |event| event.key == b"group-commit");
    let ids: Vec<_> = told.await.iter().map(|event| event.envelope().id).collect();
    assert!(ids.is_sorted());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_done_fails_alone() {
    let world = World::new("fails-alone").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    let nonsense = [
        Request::List { sku: "panics".to_owned(), revision: 1 },
        Request::List { sku: "fails-alone/\0".to_owned(), revision: 1 },
        Request::List { sku: "x".repeat(1_000_000), revision: 1 },
    ];

    let good = join_all((0..50).map(|n| desk.write(list("fails-alone", n))));
    let bad = join_all(nonsense.into_iter().map(|request| desk.write(request)));
    let (good, bad) = tokio::join!(good, bad);

    assert!(good.iter().all(|answer| *answer == Ok(true)), "{good:?}");
    for (answer, reason) in bad.into_iter().zip(["never heard of it", "0x00", "900000 are allowed"])
    {
        let Err(NotWritten::Failed(why)) = answer else { panic!("{answer:?}") };
        assert!(why.contains(reason), "{why} is not {reason}");
    }
    assert_eq!(world.number("SELECT count(*) FROM effect").await, 50);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_take_nothing_with_them() {
    let world = World::new("gone-away").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);

    let mut kept = 0;
    for round in 0..40 {
        let crowd = (0..20).map(|n| {
            let (desk, n) = (desk.clone(), round * 20 + n);
            // Every other one has no patience, and goes at whatever moment of the transaction.
            let patience = if n % 2 == 0 {
                Duration::from_secs(60)
            } else {
                Duration::from_micros(n as u64 * 11)
            };
            async move { tokio::time::timeout(patience, desk.write(list("gone-away", n))).await }
        });
        let answers = join_all(crowd).await;
        kept += answers.iter().filter(|answer| matches!(answer, Ok(Ok(true)))).count();
    }

    // What is still under way is done before what comes after it.
    kept += usize::from(desk.write(list("gone-away", 800)).await.unwrap());

    assert!(kept >= 400);
    // Who was answered finds it; of who was not, all or nothing.
    let listed = world.number("SELECT count(*) FROM effect").await;
    assert!(listed >= kept as i64, "{kept} answered, {listed} there");
    assert_eq!(world.number("SELECT count(DISTINCT what) FROM effect").await, listed);
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, listed);
    world.until("SELECT published_seq FROM outbox_lane", listed).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_may_wait_are_turned_away() {
    let world = World::new("busy").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    let blocking = world.hold_up().await;

    let crowd = (0..6_000).map(|n| {
        let desk = desk.clone();
        tokio::spawn(async move { desk.write(list("busy", n)).await })
    });
    let crowd: Vec<_> = crowd.collect();
    let turned_away = eventually(async || {
        let ended = crowd.iter().filter(|caller| caller.is_finished()).count();
        (ended > 0).then_some(())
    });
    assert!(turned_away.await.is_some());
    blocking.rollback().await.unwrap();

    let answers: Vec<_> = join_all(crowd).await.into_iter().map(Result::unwrap).collect();
    let busy = answers.iter().filter(|answer| **answer == Err(NotWritten::Busy)).count();
    assert!(busy > 0);
    let done = answers.iter().filter(|answer| **answer == Ok(true)).count();
    assert_eq!(busy + done, 6_000);
    assert_eq!(world.number("SELECT count(*) FROM effect").await, done as i64);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_is_no_matter_for_the_callers() {
    let world = World::new("killed-writer").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    for round in 0..3 {
        let blocking = world.hold_up().await;
        let writes = (0..20).map(|n| desk.write(list("killed-writer", round * 20 + n)));
        let mut writes = Box::pin(join_all(writes));
        assert!(writes.as_mut().now_or_never().is_none());
        world.until_held_up("killed-writer.api.0").await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'killed-writer.api.0'";
        assert_eq!(world.number(kill).await, 1);
        blocking.rollback().await.unwrap();
        let answers = writes.await;
        assert!(answers.iter().all(|answer| *answer == Ok(true)), "{answers:?}");
    }
    assert_eq!(world.number("SELECT count(*) FROM effect").await, 60);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_says_so() {
    let world = World::new("stopping").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("stopping", 1)).await.unwrap();
    process.stop().await;
    assert_eq!(desk.write(list("stopping", 2)).await, Err(NotWritten::Stopping));
    assert_eq!(world.number("SELECT count(*) FROM effect").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_the_process_is_told_to_stop_is_answered() {
    let world = World::new("drained").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    let blocking = world.hold_up().await;
    let writes = (0..50).map(|n| Box::pin(desk.write(list("drained", n))));
    let mut writes: Vec<_> = writes.collect();
    assert!(writes[0].as_mut().now_or_never().is_none());
    world.until_held_up("drained.api.0").await;
    // Behind the transaction under way.
    for waiting in &mut writes[1..] {
        assert!(waiting.as_mut().now_or_never().is_none());
    }

    process.shutdown.cancel();
    blocking.rollback().await.unwrap();

    let answers = join_all(writes).await;
    assert!(answers.iter().all(|answer| *answer == Ok(true)), "{answers:?}");
    process.stop().await;
}

fn list(key: &str, revision: i64) -> Request {
    Request::List { sku: format!("{key}/item"), revision }
}
