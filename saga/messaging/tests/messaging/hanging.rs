//! A Postgres that takes connections, and then says nothing; and one that waits for a lock.

use std::process::Command;

use futures::FutureExt;
use messaging::Writes;
use provision::{Postgres, cluster, postgres};
use tokio::time::timeout;

use crate::{
    shop::{Desk, Request},
    world::{PATIENCE, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_hangs_a_writer_is_not_ready() {
    let folder = std::env::temp_dir().join(format!("saga-messaging-{}", uuid::Uuid::now_v7()));
    let options = postgres::Options {
        durable: false,
        shared_buffers_mb: 64,
        throw_away: true,
        ..postgres::Options::new(folder)
    };
    let postgres = Postgres::start(options).await.unwrap();
    postgres::create_databases(&postgres.url("postgres"), &["hanging"]).await.unwrap();
    let brokers = cluster::shared().await.brokers().await;
    let world = World::at(brokers, postgres.url("hanging"), "hanging").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    until_ready_is(&desk, true).await;

    // Although nobody asks for anything.
    let hanging = Hanging::new(&postgres, &world).await;
    until_ready_is(&desk, false).await;

    drop(hanging);
    until_ready_is(&desk, true).await;
    desk.write(list("hanging", 1)).await.unwrap();
    process.stop().await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_lock_is_waited_for_a_writer_is_not_ready_and_keeps_its_lane() {
    let world = World::new("locked").await;
    let mut process = world.start("0").await;
    let desk = process.writer(Desk);
    desk.write(list("locked", 1)).await.unwrap();
    let blocking = world.hold_up().await;
    let mut write = Box::pin(desk.write(list("locked", 2)));
    assert!(write.as_mut().now_or_never().is_none());
    world.until_held_up("locked.api.0").await;

    until_ready_is(&desk, false).await;
    // The transaction ends, and the next one waits: on the same connection.
    let transaction = "FROM pg_stat_activity WHERE application_name = 'locked.api.0'";
    let begun_at = "(extract(epoch FROM xact_start) * 1000000)::bigint";
    let first = world.number(&format!("SELECT {begun_at} {transaction}")).await;
    let later = format!("{transaction} AND wait_event_type = 'Lock' AND {begun_at} > {first}");
    world.until(&format!("SELECT count(*) {later}"), 1).await;

    blocking.rollback().await.unwrap();
    assert_eq!(write.await, Ok(true));
    until_ready_is(&desk, true).await;
    assert_eq!(world.number("SELECT epoch FROM outbox_lane").await, 1);
    process.stop().await;
}

fn list(key: &str, revision: i64) -> Request {
    Request::List { sku: format!("{key}/item"), revision }
}

async fn until_ready_is(desk: &Writes<Desk>, wanted: bool) {
    let mut readiness = desk.readiness();
    let there = timeout(PATIENCE, readiness.wait_for(|ready| *ready == wanted)).await;
    assert!(there.is_ok_and(|ready| ready.is_ok()), "never {wanted}");
}

/// A server whose processes do nothing for as long as this lives.
struct Hanging {
    pids: Vec<String>,
}

impl Hanging {
    async fn new(postgres: &Postgres, world: &World) -> Self {
        let sessions = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'";
        let sessions: Vec<i32> = sqlx::query_scalar(sessions).fetch_all(&world.db).await.unwrap();
        let mut pids: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        pids.push(postgres.pid().to_string());
        let hanging = Hanging { pids };
        hanging.signal("-STOP");
        hanging
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill").arg(signal).args(&self.pids).status().unwrap();
        assert!(told.success(), "{signal} was not sent");
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}
