use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bootstrap::{PostgresOptions, Problem, postgres};
use sqlx::PgPool;

/// A throw-away Postgres with `fsync` and `full_page_writes` off.
struct Cluster {
    folder: PathBuf,
    port: u16,
    server: Child,
}

impl Cluster {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("bootstrap-{}", std::process::id()));
        let owner = account();
        fs::create_dir_all(&folder).unwrap();
        chown(&folder, owner, owner).unwrap();
        let data = folder.join("data");
        let run = |program: &str| {
            let mut command = Command::new(program_path(program));
            command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some(owner) = owner {
                command.uid(owner).gid(owner);
            }
            command.arg("-D").arg(&data);
            command
        };
        let initialised = run("initdb").args(["--no-sync", "-A", "trust", "-U", "app"]).status();
        assert!(initialised.unwrap().success());
        let server = run("postgres")
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-p", &port.to_string()])
            .spawn()
            .unwrap();
        Self { folder, port, server }
    }

    fn options(&self, max_connections: u32) -> PostgresOptions {
        let url = format!("postgres://app:s3cret@127.0.0.1:{}/postgres", self.port);
        PostgresOptions { url, max_connections, allow_unsafe: true }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Postgres does not run as root, so root's tests run it as the account that its package made.
fn account() -> Option<u32> {
    let id = |args: &[&str]| {
        let output = Command::new("id").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>()
    };
    (id(&["-u"]) == Ok(0)).then(|| id(&["-u", "postgres"]).unwrap())
}

fn program_path(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let packaged = versions.filter_map(|version| Some(version.ok()?.path().join("bin").join(name)));
    packaged.filter(|path| path.exists()).max().unwrap_or_else(|| Path::new(name).to_owned())
}

#[tokio::test]
async fn a_pool_waits_for_a_starting_server_refuses_an_unsafe_one_and_forgets_lost_transactions() {
    let cluster = Cluster::start();
    let pool = postgres(&cluster.options(1)).await.unwrap();

    let error = postgres(&PostgresOptions { allow_unsafe: false, ..cluster.options(1) }).await;
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("runs with fsync and full_page_writes off"), "{error}");
    assert!(error.contains("--allow-unsafe-postgres"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");

    let mut asynchronous = PostgresOptions { allow_unsafe: false, ..cluster.options(1) };
    asynchronous.url.push_str("?options=-c%20synchronous_commit%3Doff");
    let error = format!("{:#}", postgres(&asynchronous).await.unwrap_err());
    assert!(error.contains("full_page_writes and synchronous_commit off"), "{error}");

    let mut missing = cluster.options(1);
    missing.url = missing.url.replace("/postgres", "/nothing");
    let error = format!("{:#}", postgres(&missing).await.unwrap_err());
    assert!(error.contains("\"nothing\" does not exist"), "{error}");
    assert!(error.contains("`createdb nothing`"), "{error}");

    what_an_administrator_cuts_off_may_be_sent_again(&pool).await;
    a_dropped_begin_loses_no_write(&pool).await;
}

/// As at a restart or a failover.
async fn what_an_administrator_cuts_off_may_be_sent_again(pool: &PgPool) {
    let cut_off = sqlx::raw_sql("SELECT pg_terminate_backend(pg_backend_pid())");
    let error = cut_off.execute(pool).await.unwrap_err();
    let code = error.as_database_error().and_then(|error| error.code().map(String::from));
    assert_eq!(code.as_deref(), Some("57P01"));
    assert!(matches!(Problem::from(error), Problem::Unavailable { .. }));
}

/// What sqlx#4393 leaves behind: the server has seen BEGIN, the client has forgotten it.
async fn a_dropped_begin_loses_no_write(pool: &PgPool) {
    sqlx::raw_sql("CREATE TABLE written (n int)").execute(pool).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(pool).await.unwrap();
    sqlx::raw_sql("INSERT INTO written VALUES (1)").execute(pool).await.unwrap();

    // Whatever is still open ends here.
    pool.close().await;
    let options = pool.connect_options();
    let again = PgPool::connect_with((*options).clone()).await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM written").fetch_one(&again).await.unwrap();
    assert_eq!(count, 1);
    again.close().await;
}

#[tokio::test]
async fn an_unreadable_url_is_explained() {
    let options =
        PostgresOptions { url: "order-db".to_owned(), max_connections: 1, allow_unsafe: false };
    let error = format!("{:#}", postgres(&options).await.unwrap_err());
    assert!(error.contains("postgres://user:password@127.0.0.1:5432/order"), "{error}");
}
