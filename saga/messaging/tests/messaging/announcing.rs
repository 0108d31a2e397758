//! What is announced so that others decide, until they have.

use std::time::Duration;

use messaging::{Error, Tx, Writer, writer::NotWritten};
use prost::Name;
use proto::inventory::ItemListed;

use crate::{
    counted::counted,
    post::Letter,
    shop::listed,
    world::{Process, World},
};

const TOPIC: &str = "inventory.events.v1";
const UNDECIDED: &str = "SELECT count(*) FROM outbox_undecided";

/// Does the steps of a request one after the other.
pub(crate) struct Starter;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Announce(&'static str),
    Decide(&'static str),
    Fail,
}
use Step::{Announce, Decide, Fail};

impl Writer for Starter {
    type Request = Vec<Step>;
    type Response = ();

    async fn write(&mut self, tx: &mut Tx<'_>, requests: &[Vec<Step>]) -> Result<Vec<()>, Error> {
        for step in requests.iter().flatten() {
            match step {
                Announce(key) => tx.announce(key, &listed(key, 1))?,
                Decide(key) => tx.decided::<ItemListed>(key),
                Fail => return Err(Error::Other("goes wrong".to_owned())),
            }
        }
        Ok(vec![(); requests.len()])
    }
}

impl Process {
    pub(crate) fn announcing(&mut self, after: Duration) {
        let messaging = self.messaging.clone();
        self.spawn(async move { messaging.announcing(after).await });
    }
}

fn of(key: &'static str) -> impl Fn(&Letter) -> bool + Send + Clone + 'static {
    move |letter| letter.key == key.as_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_announced_is_announced_again_until_it_is_decided() {
    let world = World::new("announced").await;
    let mut process = world.start("0").await;
    let starter = process.writer(Starter);
    process.announcing(Duration::from_millis(200));
    starter.write(vec![Announce("one")]).await.unwrap();

    let told = world.post().read(TOPIC, 3, of("one")).await;
    assert!(told.iter().all(|again| again.payload == told[0].payload));
    let mut envelopes: Vec<_> = told.iter().map(Letter::envelope).collect();
    assert!(envelopes.iter().all(|again| again.kind == ItemListed::full_name()));
    envelopes.dedup_by_key(|again| again.id);
    assert_eq!(envelopes.len(), 3, "each is a message of its own");
    assert!(counted("events_announced_again_total", "kind", "shop.inventory.v1.ItemListed") >= 1);

    // Who says nothing but that is heard, too.
    starter.write(vec![Decide("one")]).await.unwrap();
    assert_eq!(world.number(UNDECIDED).await, 0);
    let of_one = "SELECT count(*) FROM outbox WHERE key = 'one'";
    let told_count = world.number(of_one).await;
    starter.write(vec![Announce("two")]).await.unwrap();
    world.post().read(TOPIC, 3, of("two")).await;
    assert_eq!(world.number(of_one).await, told_count);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undecided_is_kept_with_its_transaction_or_not_at_all() {
    let world = World::new("undecided").await;
    let mut process = world.start("0").await;
    let starter = process.writer(Starter);
    starter.write(vec![Announce("one")]).await.unwrap();

    let failed = starter.write(vec![Announce("two"), Decide("one"), Fail]).await;
    assert!(matches!(failed, Err(NotWritten::Failed(_))), "{failed:?}");
    let kept = |key: &str| format!("{UNDECIDED} WHERE key = '{key}'");
    assert_eq!(world.number(&kept("one")).await, 1);
    assert_eq!(world.number(UNDECIDED).await, 1);

    // In one transaction the last word counts; and an event that is undecided already is told.
    let together = [Announce("three"), Decide("three"), Decide("one"), Announce("one")];
    starter.write(together.to_vec()).await.unwrap();
    assert_eq!(world.number(&kept("one")).await, 1);
    assert_eq!(world.number(UNDECIDED).await, 1);
    world.post().read(TOPIC, 2, of("one")).await;
    world.post().read(TOPIC, 1, of("three")).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_doubles_up_to_five_minutes_and_begins_with_the_first() {
    let world = World::new("pauses").await;
    let mut process = world.start("0").await;
    let starter = process.writer(Starter);
    starter.write(vec![Announce("once"), Announce("often")]).await.unwrap();
    world.run("UPDATE outbox_undecided SET waiting_since = now() - interval '101 s'").await;
    world.run("UPDATE outbox_undecided SET announce_count = 7 WHERE key = 'often'").await;
    starter.write(vec![Announce("now")]).await.unwrap();
    process.announcing(Duration::from_secs(100));

    world.until("SELECT sum(announce_count)::bigint FROM outbox_undecided", 9).await;
    let now = "SELECT count(*) FROM outbox WHERE key = 'now'";
    assert_eq!(world.number(now).await, 1, "it has not waited yet");
    // Due 100 s after these: 200 s and 300 s from when they were announced again, together.
    let apart = "SELECT extract(epoch FROM max(waiting_since) - min(waiting_since))::bigint
         FROM outbox_undecided WHERE key <> 'now'";
    assert_eq!(world.number(apart).await, 100);
    let ahead = "SELECT extract(epoch FROM max(waiting_since) - now())::bigint
         FROM outbox_undecided";
    let ahead = world.number(ahead).await;
    assert!((100..=200).contains(&ahead), "{ahead}");
    process.stop().await;
}
