use std::{fs, path::PathBuf, time::Duration};

use clap::Parser;

use super::{state::Claim, *};
use crate::args::{Cli, Command};

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("saga-cli-join-{}", uuid::Uuid::now_v7()))
}

fn global(data_dir: &Path, flags: &[&str]) -> Global {
    let data_dir = data_dir.to_str().unwrap();
    let line = ["saga", "status", "--data-dir", data_dir].into_iter().chain(flags.iter().copied());
    Cli::try_parse_from(line).unwrap().global
}

fn start(flags: &[&str]) -> Start {
    let line = ["saga", "up"].iter().chain(flags);
    let cli = Cli::try_parse_from(line).unwrap();
    let Command::Up(args) = cli.command else { panic!("{:?}", cli.command) };
    args.start
}

#[tokio::test]
async fn a_system_that_is_starting_is_waited_for() {
    let data_dir = folder();
    let claim = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    let (running, start, global) = (claim.running(), start(&[]), global(&data_dir, &[]));
    let mut joined = std::pin::pin!(join(&running, &start, &global));
    let waiting = tokio::time::timeout(Duration::from_millis(200), joined.as_mut()).await;
    assert!(waiting.is_err(), "it is not ready: {waiting:?}");

    claim.change(|running| running.ready = true);
    assert!(joined.await.unwrap().unwrap().ready);
    claim.release();
    fs::remove_dir_all(data_dir).unwrap();
}

#[tokio::test]
async fn a_system_whose_start_fails_is_not_waited_for() {
    let data_dir = folder();
    let claim = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    let running = claim.running();
    claim.release();
    drop(claim);
    assert!(join(&running, &start(&[]), &global(&data_dir, &[])).await.is_err());
    fs::remove_dir_all(data_dir).unwrap();
}

#[tokio::test]
async fn a_system_that_was_killed_just_now_is_not_joined() {
    let data_dir = folder();
    let claim = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    claim.change(|running| running.ready = true);
    let running = claim.running();
    drop(claim);
    let joined = join(&running, &start(&[]), &global(&data_dir, &[])).await.unwrap();
    assert_eq!(joined, None);
    fs::remove_dir_all(data_dir).unwrap();
}

#[tokio::test]
async fn another_system_than_the_running_one_is_refused() {
    let data_dir = folder();
    let claim = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    claim.change(|running| {
        running.ready = true;
        running.kafka = "127.0.0.1:9092".to_owned();
        running.database_url = "postgres://127.0.0.1:5432/postgres".to_owned();
        running.partitions = Some(2);
    });
    let running = claim.running();
    let fits = global(&data_dir, &["--port-base", "7200"]);
    assert!(join(&running, &start(&[]), &fits).await.is_ok());
    assert_eq!(join(&running, &start(&["--fresh"]), &fits).await.unwrap_err().exit_code(), 4);
    let other = global(&data_dir, &["--port-base", "7300"]);
    assert_eq!(join(&running, &start(&[]), &other).await.unwrap_err().exit_code(), 4);

    for (flag, same, another) in [
        ("--kafka", "127.0.0.1:9092", "127.0.0.1:9093"),
        ("--database-url", &*running.database_url, "postgres://127.0.0.1:5433/postgres"),
        ("--partitions", "2", "4"),
    ] {
        assert!(join(&running, &start(&[flag, same]), &fits).await.is_ok(), "{flag}");
        let refused = join(&running, &start(&[flag, another]), &fits).await.unwrap_err();
        assert_eq!(refused.exit_code(), 4, "{flag}");
        assert!(refused.text().contains(&format!("{flag} {same}")), "{}", refused.text());
    }
    claim.release();
    fs::remove_dir_all(data_dir).unwrap();
}

#[tokio::test]
async fn of_two_that_begin_at_once_the_slower_one_waits_for_the_other() {
    let data_dir = folder();
    let quicker = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    // It has the folder, and has not written yet which it is.
    quicker.release();
    let (start, global) = (start(&[]), global(&data_dir, &["--port-base", "7200"]));
    let stop = CancellationToken::new();
    let mut slower = std::pin::pin!(claim(&start, &global, &stop));
    // Says first who it is, and then that it is ready.
    for ready in [false, true] {
        let waiting = tokio::time::timeout(Duration::from_millis(200), slower.as_mut()).await;
        assert!(waiting.is_err(), "it is not ready: {waiting:?}");
        quicker.change(|running| running.ready = ready);
    }
    assert!(matches!(slower.await.unwrap(), Claimed::Theirs(_)));
    quicker.release();
    fs::remove_dir_all(data_dir).unwrap();
}

#[tokio::test]
async fn a_folder_whose_holder_says_nothing_is_not_waited_for_long() {
    let data_dir = folder();
    let held = Claim::on(&data_dir, Addresses::from_port_base(7_200)).unwrap().unwrap();
    held.release();
    let failure = lasting(&data_dir).await.unwrap_err();
    assert!(failure.text().contains("up.lock"), "{}", failure.text());
    drop(held);
    assert_eq!(lasting(&data_dir).await.unwrap(), None);
    fs::remove_dir_all(data_dir).unwrap();
}
