//! Real servers started, stopped, crashed and left behind.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail as the test itself")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use provision::{Error, Kafka, Postgres, Progress, cluster, kafka, postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Told to the process that `kill -9` is tried on: where to write what it started.
const TELL: &str = "PROVISION_TEST_TELL";

#[tokio::test]
async fn postgres_keeps_its_data_over_a_stop_a_restart_and_a_crash() {
    let folder = Folder::new();
    let mut server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    postgres::create_databases(&server.url("postgres"), &["order", "saga"]).await.unwrap();
    postgres::create_databases(&server.url("postgres"), &["order", "saga"]).await.unwrap();
    run(&server.url("order"), "CREATE TABLE kept (n int)").await;
    run(&server.url("order"), "INSERT INTO kept VALUES (1)").await;

    let (port, first) = (server.port(), server.pid());
    server.restart().await.unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), first);
    assert_eq!(count(&server.url("order")).await, 1);

    run(&server.url("order"), "INSERT INTO kept VALUES (2)").await;
    server.kill();
    assert!(PgConnection::connect(&server.url("order")).await.is_err());
    server.restart().await.unwrap();
    assert_eq!(count(&server.url("order")).await, 2);

    let ended = tokio::time::timeout(Duration::from_millis(10), server.ended()).await;
    assert!(ended.is_err(), "it runs: {ended:?}");
    let kill = ["-s", "QUIT", &server.pid().to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(60), server.ended()).await.unwrap();
    assert!(matches!(ended, Error::Ended { server: "Postgres", .. }), "{ended:?}");
    server.restart().await.unwrap();

    server.stop().await;
    let server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    assert_eq!(count(&server.url("order")).await, 2);
}

#[tokio::test]
async fn a_durable_postgres_syncs_what_it_commits() {
    let folder = Folder::new();
    let server = Postgres::start(postgres::Options::new(folder.path("pg"))).await.unwrap();
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let mut client = PgConnection::connect(&server.url("postgres")).await.unwrap();
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(value, "on", "{setting}");
    }
}

#[tokio::test]
async fn two_postgres_run_beside_each_other_but_never_on_one_folder_or_port() {
    let folder = Folder::new();
    let one = Postgres::start(quick(folder.path("one"))).await.unwrap();
    let two = Postgres::start(quick(folder.path("two"))).await.unwrap();
    assert_ne!(one.port(), two.port());

    let same_folder = Postgres::start(quick(folder.path("one"))).await;
    assert!(matches!(same_folder, Err(Error::FolderInUse { .. })), "{same_folder:?}");
    let options = postgres::Options { port: one.port(), ..quick(folder.path("three")) };
    let same_port = Postgres::start(options).await;
    assert!(matches!(same_port, Err(Error::PortTaken { .. })), "{same_port:?}");
    assert!(matches!(provision::remove(one.data_dir()), Err(Error::FolderInUse { .. })));
}

#[tokio::test]
async fn a_dropped_postgres_is_gone() {
    let folder = Folder::new();
    let server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    let pid = server.pid();
    drop(server);
    assert!(!alive(pid));
}

#[tokio::test]
async fn data_is_removed_with_what_lies_beside_it_but_never_what_is_not_ours() {
    let folder = Folder::new();
    let data_dir = folder.path("pg");
    let server = Postgres::start(quick(data_dir.clone())).await.unwrap();
    let real = server.data_dir().to_owned();
    server.stop().await;
    provision::remove(&data_dir).unwrap();
    provision::remove(&data_dir).unwrap();
    assert!(!real.exists());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);

    let foreign = folder.path("letters");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("to-my-love.txt"), "…").unwrap();
    assert!(matches!(provision::remove(&foreign), Err(Error::ForeignFolder { .. })));
    let started = Postgres::start(quick(foreign.clone())).await;
    assert!(matches!(started, Err(Error::ForeignFolder { .. })), "{started:?}");
    assert!(foreign.join("to-my-love.txt").exists());
}

#[tokio::test]
async fn a_folder_the_server_cannot_reach_becomes_a_link_to_one_it_can() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();

    let wanted = closed.join("pg");
    let told = Told::default();
    let options = postgres::Options { progress: told.progress(), ..quick(wanted.clone()) };
    let mut server = Postgres::start(options).await.unwrap();
    let real = server.data_dir().to_owned();
    assert!(told.all().contains(real.to_str().unwrap()), "{}", told.all());
    assert_eq!(fs::read_link(&wanted).unwrap(), real);
    run(&server.url("postgres"), "CREATE TABLE kept (n int)").await;
    server.restart().await.unwrap();
    assert_eq!(count(&server.url("postgres")).await, 0);

    let copy = closed.join("copy");
    std::os::unix::fs::symlink(&real, &copy).unwrap();
    fs::copy(closed.join("pg.lock"), closed.join("copy.lock")).unwrap();
    let started = Postgres::start(quick(copy.clone())).await;
    assert!(matches!(started, Err(Error::FolderInUse { .. })), "{started:?}");
    assert!(matches!(provision::remove(&copy), Err(Error::FolderInUse { .. })));

    // Whoever removes the link wants a new beginning.
    server.stop().await;
    fs::remove_file(&wanted).unwrap();
    let server = Postgres::start(quick(wanted.clone())).await.unwrap();
    run(&server.url("postgres"), "CREATE TABLE kept (n int)").await;
    let new = server.data_dir().to_owned();
    server.stop().await;
    provision::remove(&wanted).unwrap();
    assert!(!new.exists() && !wanted.is_symlink());
    // But the link may have been moved, so what it led to is not touched.
    assert!(real.exists());
    fs::remove_file(real.with_extension("lock")).unwrap();
    fs::remove_dir_all(real).unwrap();
}

#[tokio::test]
async fn data_that_is_not_ours_is_neither_used_nor_wiped() {
    let folder = Folder::new();
    let server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    // As of somebody else, whose server runs.
    fs::remove_file(folder.path("pg.lock")).unwrap();
    for _ in 0..2 {
        let started = Postgres::start(quick(folder.path("pg"))).await;
        says(started, &["pg.lock"]);
        assert!(matches!(provision::remove(&folder.path("pg")), Err(Error::ForeignFolder { .. })));
    }
    run(&server.url("postgres"), "SELECT 1").await;

    fs::create_dir(folder.path("kafka")).unwrap();
    fs::write(folder.path("kafka/server.properties"), "mine").unwrap();
    let started = Kafka::start(kafka::Options::new(folder.path("kafka"))).await;
    says(started, &["kafka.lock"]);
    assert!(matches!(provision::remove(&folder.path("kafka")), Err(Error::ForeignFolder { .. })));
    assert_eq!(fs::read_to_string(folder.path("kafka/server.properties")).unwrap(), "mine");
}

#[tokio::test]
async fn a_relative_link_begins_where_it_lies() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("elsewhere", folder.path("pg")).unwrap();
    let server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    assert_eq!(server.data_dir(), folder.path("elsewhere"));
    server.stop().await;
    provision::remove(&folder.path("pg")).unwrap();
    assert!(!folder.path("elsewhere").exists());
}

#[tokio::test]
async fn a_postgres_left_by_a_killed_process_is_ended_by_the_next_start() {
    let folder = Folder::new();
    let server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    let (left, program) = (server.data_dir().to_owned(), executable(server.pid()));
    let owner = fs::metadata(&left).unwrap();
    server.stop().await;

    // Started as by a process that died together with its watchdog.
    use std::os::unix::{fs::MetadataExt, process::CommandExt};
    let mut command = Command::new(program);
    let port = format!("port={}", provision::free_port().unwrap());
    command.arg("-D").arg(&left).args(["-c", "unix_socket_directories=", "-c", &port]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut orphan = command.uid(owner.uid()).gid(owner.gid()).spawn().unwrap();
    let said_ready =
        || fs::read_to_string(left.join("postmaster.pid")).is_ok_and(|file| file.contains("ready"));
    until(said_ready, Duration::from_secs(20)).await;
    let reaped = std::thread::spawn(move || orphan.wait().unwrap());

    let server = Postgres::start(quick(folder.path("pg"))).await.unwrap();
    assert!(reaped.join().unwrap().success());
    run(&server.url("postgres"), "SELECT 1").await;
}

#[tokio::test]
async fn without_programs_the_message_says_what_to_install() {
    let folder = Folder::new();
    let bin_dir = Some(folder.path("nowhere"));
    let no_postgres =
        Postgres::start(postgres::Options { bin_dir, ..quick(folder.path("pg")) }).await;
    says(no_postgres, &["apt-get install postgresql", "--database-url", "nowhere"]);

    let java = Some(folder.path("bogus/java"));
    let options = kafka::Options { java, ..kafka::Options::new(folder.path("kafka")) };
    says(Kafka::start(options).await, &["Java 17", "openjdk-17", "--kafka", "bogus/java"]);

    let (maven, cache_dir) = (Some(folder.path("bogus/mvn")), Some(folder.path("cache")));
    let options = kafka::Options { maven, cache_dir, ..kafka::Options::new(folder.path("kafka")) };
    says(Kafka::start(options).await, &["Maven", "apt-get install maven", "--kafka"]);
}

#[tokio::test]
async fn all_that_is_missing_is_said_at_once() {
    let folder = Folder::new();
    let nowhere = || Some(folder.path("nowhere"));
    let postgres = postgres::Options { bin_dir: nowhere(), ..quick(folder.path("pg")) };
    let kafka = kafka::Options {
        java: nowhere(),
        maven: nowhere(),
        cache_dir: Some(folder.path("cache")),
        ..kafka::Options::new(folder.path("kafka"))
    };
    let all = "apt-get install postgresql openjdk-17-jre-headless maven";
    says(provision::check(Some(&postgres), Some(&kafka)).await, &[all, "Java 17", "--kafka"]);
    says(provision::check(Some(&postgres), None).await, &["apt-get install postgresql`"]);

    let here = (quick(folder.path("pg")), kafka::Options::new(folder.path("kafka")));
    provision::check(Some(&here.0), Some(&here.1)).await.unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "looking leaves nothing behind");
}

#[tokio::test]
async fn an_old_java_is_named_with_its_version() {
    let folder = Folder::new();
    let java = folder.program("java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2");
    let options = kafka::Options { java: Some(java), ..kafka::Options::new(folder.path("kafka")) };
    says(Kafka::start(options).await, &["is 11.0.2", "Java 17"]);
}

#[tokio::test]
async fn what_takes_long_is_told_before_it_is_done() {
    let folder = Folder::new();
    let maven = folder.program("mvn", "exit 1");
    let told = Told::default();
    let options = kafka::Options {
        maven: Some(maven),
        cache_dir: Some(folder.path("cache")),
        progress: told.progress(),
        ..kafka::Options::new(folder.path("kafka"))
    };
    says(Kafka::start(options).await, &["check the network", "--kafka"]);
    assert!(told.all().contains("bringing Apache Kafka through Maven"), "{}", told.all());
}

#[tokio::test]
async fn a_server_that_dies_at_its_start_shows_the_end_of_its_log() {
    let folder = Folder::new();
    let options = postgres::Options { shared_buffers_mb: 900_000_000, ..quick(folder.path("pg")) };
    says(Postgres::start(options).await, &["ended while starting", "shared_buffers"]);
}

#[tokio::test]
async fn kafka_keeps_its_data_over_a_restart_and_a_crash() {
    let folder = Folder::new();
    let mut broker = Kafka::start(small(folder.path("kafka"))).await.unwrap();
    let brokers = broker.brokers();
    let offsets = folder.path("kafka/records/__consumer_offsets-0");
    until(|| offsets.is_dir(), Duration::from_secs(20)).await;
    let meta = fs::read_to_string(folder.path("kafka/records/meta.properties")).unwrap();

    broker.restart().await.unwrap();
    assert_eq!(broker.brokers(), brokers);
    let other = Kafka::start(small(folder.path("other"))).await.unwrap();
    assert_ne!(other.brokers(), brokers);

    broker.kill();
    assert!(!alive(broker.pid()) && TcpStream::connect(&brokers).is_err());
    broker.restart().await.unwrap();
    assert!(TcpStream::connect(&brokers).is_ok() && offsets.is_dir());
    let after = fs::read_to_string(folder.path("kafka/records/meta.properties")).unwrap();
    let id =
        |meta: &str| meta.lines().find(|line| line.starts_with("cluster.id")).map(str::to_owned);
    assert_eq!(id(&after), id(&meta));

    let same_folder = Kafka::start(small(folder.path("kafka"))).await;
    assert!(matches!(same_folder, Err(Error::FolderInUse { .. })), "{same_folder:?}");
    let pid = broker.pid();
    drop(broker);
    assert!(!alive(pid));
    provision::remove(&folder.path("kafka")).unwrap();
    assert!(!folder.path("kafka").exists() && !folder.path("kafka.log").exists());
}

#[tokio::test]
async fn each_test_gets_a_database_of_its_own() {
    let cluster = cluster::shared().await;
    let (one, two) = tokio::join!(cluster.database("Same-Hint"), cluster.database("Same-Hint"));
    assert_ne!(one, two);
    assert!(one.contains("/samehint_"), "{one}");
    run(&one, "CREATE TABLE kept (n int)").await;
    run(&two, "CREATE TABLE kept (n int)").await;
}

#[tokio::test]
async fn kill_9_of_a_test_process_leaves_no_server_and_no_data() {
    let folder = Folder::new();
    let tell = folder.path("tell");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_of_servers", "--ignored"])
        .env(TELL, &tell)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| tell.exists(), Duration::from_secs(120)).await;
    let told = fs::read_to_string(&tell).unwrap();
    let told: Vec<&str> = told.lines().collect();
    let pids = [told[0].parse().unwrap(), told[1].parse().unwrap()];
    let data = Path::new(told[2]).parent().unwrap();
    assert!(pids.iter().all(|pid| alive(*pid)) && data.is_dir());

    process.kill().unwrap();
    process.wait().unwrap();
    until(|| !pids.iter().any(|pid| alive(*pid)) && !data.exists(), Duration::from_secs(60)).await;
}

#[tokio::test]
#[ignore = "started and killed by kill_9_of_a_test_process_leaves_no_server_and_no_data"]
async fn owner_of_servers() {
    let Some(tell) = std::env::var_os(TELL).map(PathBuf::from) else { return };
    let cluster = cluster::shared().await;
    let (postgres, kafka) = (cluster.postgres(), cluster.kafka().await);
    let told = format!("{}\n{}\n{}", postgres.pid(), kafka.pid(), postgres.data_dir().display());
    let new = tell.with_extension("new");
    fs::write(&new, told).unwrap();
    fs::rename(new, tell).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn quick(data_dir: PathBuf) -> postgres::Options {
    let shared_buffers_mb = 32;
    postgres::Options { durable: false, shared_buffers_mb, ..postgres::Options::new(data_dir) }
}

fn small(data_dir: PathBuf) -> kafka::Options {
    kafka::Options { heap_mb: 256, ..kafka::Options::new(data_dir) }
}

async fn run(url: &str, statement: &str) {
    let mut client = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut client).await.unwrap();
}

async fn count(url: &str) -> i64 {
    let mut client = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut client).await.unwrap()
}

async fn until(fact: impl Fn() -> bool, patience: Duration) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < patience, "did not come true within {patience:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn says<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// A process that ended and was not waited for by its parent is not alive.
fn alive(pid: u32) -> bool {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(listed.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

fn executable(pid: u32) -> String {
    let listed = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().unwrap();
    let line = String::from_utf8(listed.stdout).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

/// A folder of the test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let unique = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        let folder = std::env::temp_dir().join(format!("provision-test-{unique:x}"));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A script that takes a program's place.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// What was told while a server started.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn progress(&self) -> Progress {
        let told = self.clone();
        Progress::to(move |text| told.0.lock().unwrap().push(text.to_owned()))
    }

    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
