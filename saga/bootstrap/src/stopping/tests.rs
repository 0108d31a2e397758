use std::time::Duration;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use super::{Tasks, outlives_terminal, stop_signal};

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(60);

async fn until(stop: CancellationToken) -> anyhow::Result<()> {
    stop.cancelled().await;
    Ok(())
}

#[tokio::test]
async fn a_part_that_ends_by_itself_stops_the_others_and_is_named() {
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone(), LATER)
        .run("short", async { Ok(()) })
        .run("long", until(stop.clone()));
    let error = tasks.until_stopped().await.unwrap_err();
    assert_eq!(format!("{error:#}"), "short ended without being told to");
    assert!(stop.is_cancelled());
}

#[tokio::test]
async fn parts_that_end_when_they_are_told_to_have_not_failed() {
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone(), LATER).run("api", until(stop.clone()));
    stop.cancel();
    tasks.until_stopped().await.unwrap();
}

#[tokio::test]
async fn the_first_failure_is_the_answer_after_all_have_stopped() {
    let stop = CancellationToken::new();
    let after_stop = stop.clone();
    let tasks = Tasks::new(stop.clone(), LATER).run("relay", async { bail!("no broker") }).run(
        "api",
        async move {
            after_stop.cancelled().await;
            bail!("follows from the first")
        },
    );
    let error = tasks.until_stopped().await.unwrap_err();
    assert_eq!(format!("{error:#}"), "relay: no broker");
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone(), LATER)
        .run("relay", async { panic!("lost {}", "count") })
        .run("api", until(stop));
    let error = tasks.until_stopped().await.unwrap_err();
    assert_eq!(format!("{error:#}"), "relay: panicked: lost count");
}

#[tokio::test]
async fn a_part_that_does_not_stop_is_named_and_left() {
    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone(), SOON)
        .run("stubborn", std::future::pending())
        .run("api", until(stop.clone()));
    stop.cancel();
    let error = tasks.until_stopped().await.unwrap_err();
    assert_eq!(format!("{error:#}"), "did not stop within 50ms: stubborn");
}

#[test]
fn an_interrupt_a_request_to_end_and_a_closed_terminal_are_heard() {
    let hangup = (!outlives_terminal()).then_some("HUP");
    for signal in ["INT", "TERM"].into_iter().chain(hangup) {
        // A runtime each: who has heard one takes another one for the second.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let stop = stop_signal();
            let this = std::process::id().to_string();
            let sent = std::process::Command::new("kill").args(["-s", signal, &this]).status();
            assert!(sent.unwrap().success());
            tokio::time::timeout(LATER, stop.cancelled()).await.unwrap();
        });
    }
}
