//! A lane: one thread's own connection and its own ordered stream of outbox rows.

use std::{
    collections::VecDeque,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, query, query_scalar, raw_sql};
use tracing::{info, warn};

use crate::{
    Error, Tx, Verdict,
    error::within,
    outbox::{self, Outgoing, Ownership},
    relay::{Acknowledgement, Relay},
    trouble::Trouble,
};

/// Rows read at once when publishing what an earlier owner left.
const CATCH_UP_ROWS: i64 = 250;
/// A server that takes longer to answer is away.
pub(crate) const STATEMENT_PATIENCE: Duration = Duration::from_secs(10);
/// How often to look whether the earlier owner has let go, or Postgres is back.
const CLAIM_PAUSE: Duration = Duration::from_millis(200);
/// What the broker did not take is published again after this pause, and after twice the pause each
/// time that it still does not take it.
const FIRST_REPUBLISH_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_REPUBLISH_PAUSE: Duration = Duration::from_secs(30);
/// How often Postgres is asked whether it is there when nothing else is asked of it.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// A transaction that was begun ahead of its work is used so long: `now()` in it is as old as that.
const BEGUN_AHEAD_MAX: Duration = Duration::from_millis(60);
/// How often, and how far apart, to look for the last acknowledgements before letting go.
const SETTLE_TRIES: u32 = 50;
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Lane {
    name: String,
    source: String,
    connection: PgConnection,
    relay: Relay,
    epoch: i64,
    last_seq: i64,
    published_seq: i64,
    marked_seq: i64,
    /// Published batches by their last row, oldest first.
    unacknowledged: VecDeque<(i64, Arc<Acknowledgement>)>,
    caught_up_at: Instant,
    republish_pause: Duration,
    /// When the next transaction was begun, together with the end of the last one.
    begun_ahead_at: Option<Instant>,
    /// When Postgres was last asked whether it is there.
    asked_at: Instant,
}

impl Lane {
    /// Becomes the owner, once no living process is, and publishes what an earlier one left.
    /// Waits for Postgres too.
    pub(crate) async fn claim(
        database_url: &str,
        name: &str,
        source: &str,
        relay: &Relay,
    ) -> Result<Self, Error> {
        let mut told = false;
        let mut trouble = Trouble::default();
        loop {
            match Lane::when_free(database_url, name, source, relay, &mut told).await {
                Err(failure) if failure.verdict() == Verdict::Later => {
                    if let Some(error) = trouble.news(&failure) {
                        warn!(lane = name, error, "claiming the lane, trying until it works");
                    }
                    tokio::time::sleep(CLAIM_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn when_free(
        database_url: &str,
        name: &str,
        source: &str,
        relay: &Relay,
        told: &mut bool,
    ) -> Result<Self, Error> {
        let mut connection = connect(database_url, name).await?;
        while !try_lock(&mut connection, name).await? {
            if !std::mem::replace(told, true) {
                info!(lane = name, "waiting for the lane's owner to let go");
            }
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        Lane::take_over(connection, name, source, relay).await
    }

    /// As [`Lane::claim`], but does not wait: gives nothing when the lane has a living owner.
    pub(crate) async fn try_claim(
        database_url: &str,
        name: &str,
        source: &str,
        relay: &Relay,
    ) -> Result<Option<Self>, Error> {
        let mut connection = connect(database_url, name).await?;
        if !try_lock(&mut connection, name).await? {
            return Ok(None);
        }
        Lane::take_over(connection, name, source, relay).await.map(Some)
    }

    async fn take_over(
        mut connection: PgConnection,
        name: &str,
        source: &str,
        relay: &Relay,
    ) -> Result<Self, Error> {
        let owned = sqlx::query_as(
            "INSERT INTO outbox_lane (lane) VALUES ($1)
             ON CONFLICT (lane) DO UPDATE SET epoch = outbox_lane.epoch + 1
             RETURNING epoch, last_seq, published_seq",
        )
        .bind(name);
        let owned = async { Ok(owned.fetch_one(&mut connection).await?) };
        let (epoch, last_seq, published_seq): (i64, i64, i64) =
            within(STATEMENT_PATIENCE, owned).await?;
        let mut lane = Lane {
            name: name.to_owned(),
            source: source.to_owned(),
            connection,
            relay: relay.clone(),
            epoch,
            last_seq,
            published_seq,
            marked_seq: published_seq,
            unacknowledged: VecDeque::new(),
            caught_up_at: Instant::now(),
            republish_pause: FIRST_REPUBLISH_PAUSE,
            begun_ahead_at: None,
            asked_at: Instant::now(),
        };
        lane.catch_up().await?;
        Ok(lane)
    }

    /// Publishes, in order, every row that is not marked as published.
    async fn catch_up(&mut self) -> Result<(), Error> {
        self.caught_up_at = Instant::now();
        // What is lost is forgotten only once all of it is published again.
        let mut published = VecDeque::new();
        let mut from = self.published_seq;
        loop {
            let Lane { connection, name, source, .. } = self;
            // Each wait for itself: all of them together take as long as there is much to publish.
            let read = outbox::read_after(connection, name, source, from, CATCH_UP_ROWS);
            let Some((last_seq, rows)) = within(STATEMENT_PATIENCE, read).await? else { break };
            info!(lane = self.name, rows = rows.len(), "publishing what was left");
            let acknowledgement = self.relay.publish(&rows);
            let is_lost = acknowledgement.is_lost();
            published.push_back((last_seq, acknowledgement));
            if is_lost {
                break;
            }
            from = last_seq;
        }
        self.unacknowledged = published;
        Ok(())
    }

    /// Begins a transaction. It ends with [`Lane::commit`] or [`Lane::roll_back`].
    pub(crate) async fn begin(&mut self) -> Result<Tx<'_>, Error> {
        match self.begun_ahead_at.take() {
            Some(at) if at.elapsed() < BEGUN_AHEAD_MAX => {}
            Some(_) => _ = raw_sql("COMMIT; BEGIN").execute(&mut self.connection).await?,
            None => _ = query("BEGIN").execute(&mut self.connection).await?,
        }
        Ok(Tx::new(&mut self.connection, &self.source))
    }

    /// Makes the transaction and what it has to say durable, then publishes. Where more is expected
    /// soon, the same round trip begins the next one.
    pub(crate) async fn commit(
        &mut self,
        outgoing: Outgoing,
        more_soon: bool,
    ) -> Result<(), Error> {
        self.note_acknowledgements();
        if outgoing.is_empty() {
            return self.end(more_soon).await;
        }
        let owner = self.ownership();
        outbox::write(&mut self.connection, &self.name, owner, self.last_seq + 1, &outgoing)
            .await?;
        self.end(more_soon).await?;
        self.marked_seq = owner.published_seq;
        self.last_seq += outgoing.rows.len() as i64;
        // Never before the commit is durable: what was told cannot be taken back. Nor before what
        // is to be published again: it comes after that, from the outbox.
        if !self.has_lost() {
            self.unacknowledged.push_back((self.last_seq, self.relay.publish(&outgoing.rows)));
        }
        Ok(())
    }

    async fn end(&mut self, more_soon: bool) -> Result<(), Error> {
        // A transaction that had an error, which the handler kept to itself, is rolled back by COMMIT
        // without a word: the statement before it speaks up.
        let end = if more_soon { "SELECT; COMMIT AND CHAIN" } else { "SELECT; COMMIT" };
        raw_sql(end).execute(&mut self.connection).await?;
        self.begun_ahead_at = more_soon.then(Instant::now);
        Ok(())
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), Error> {
        self.begun_ahead_at = None;
        query("ROLLBACK").execute(&mut self.connection).await?;
        Ok(())
    }

    /// When nothing else happens: marks what is published, publishes again what was lost, and notices
    /// a Postgres that is gone.
    pub(crate) async fn idle(&mut self) -> Result<(), Error> {
        if self.begun_ahead_at.is_some() {
            within(STATEMENT_PATIENCE, self.roll_back()).await?;
        }
        self.look_after_published().await?;
        if self.published_seq > self.marked_seq {
            let owner = self.ownership();
            let mark = outbox::mark(&mut self.connection, &self.name, owner);
            within(STATEMENT_PATIENCE, mark).await?;
            self.marked_seq = owner.published_seq;
        }
        if self.asked_at.elapsed() >= ASK_INTERVAL {
            let ask = raw_sql("SELECT").execute(&mut self.connection);
            within(STATEMENT_PATIENCE, async { Ok(ask.await?) }).await?;
            self.asked_at = Instant::now();
        }
        Ok(())
    }

    /// Before letting go: marks what the broker acknowledges within a short while.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        for _ in 0..SETTLE_TRIES {
            self.idle().await?;
            if self.unacknowledged.is_empty() {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        Ok(())
    }

    fn ownership(&self) -> Ownership {
        Ownership { epoch: self.epoch, published_seq: self.published_seq }
    }

    /// Notes what has arrived, and publishes again what is lost: once nothing is under way any more, so
    /// that it does not pile up.
    pub(crate) async fn look_after_published(&mut self) -> Result<(), Error> {
        self.note_acknowledgements();
        let all_settled = || self.unacknowledged.iter().all(|(_, batch)| batch.is_settled());
        let pause = self.republish_pause;
        if self.has_lost() && all_settled() && self.caught_up_at.elapsed() >= pause {
            self.republish_pause = (pause * 2).min(LONGEST_REPUBLISH_PAUSE);
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Whether a batch does not arrive in full: then it and all after it are published again.
    fn has_lost(&self) -> bool {
        self.unacknowledged.iter().any(|(_, batch)| batch.is_lost())
    }

    /// Moves the mark over the batches that have arrived, in order and without a hole.
    fn note_acknowledgements(&mut self) {
        while let Some((last_seq, batch)) = self.unacknowledged.front() {
            if !batch.is_settled() || batch.is_lost() {
                return;
            }
            self.published_seq = *last_seq;
            self.unacknowledged.pop_front();
            self.republish_pause = FIRST_REPUBLISH_PAUSE;
        }
    }
}

async fn connect(database_url: &str, lane: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(database_url)?
        .application_name(lane)
        // A plan that was made while a table was empty would stay: plan by the statement alone.
        .options([("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")])
        .options([("enable_hashjoin", "off"), ("enable_mergejoin", "off")])
        // What is published after a commit must not be lost with Postgres' memory.
        .options([("synchronous_commit", "on")])
        // Who waits for a lock ends before its connection is given up: the server would wait on, and
        // keep the lane for a client that is gone.
        .options([("statement_timeout", "30s")])
        // Who is frozen in the middle of a transaction must not keep others from its rows.
        .options([("idle_in_transaction_session_timeout", "90s")])
        // The lock of an owner whose machine is gone is free after some 15 s.
        .options([("tcp_keepalives_idle", "5"), ("tcp_keepalives_interval", "5")])
        .options([("tcp_keepalives_count", "2")]);
    within(STATEMENT_PATIENCE, async { Ok(PgConnection::connect_with(&options).await?) }).await
}

/// Held by the connection: it is let go when the connection ends, however that comes about.
async fn try_lock(connection: &mut PgConnection, lane: &str) -> Result<bool, Error> {
    let locked = query_scalar("SELECT pg_try_advisory_lock(hashtextextended('lane ' || $1, 0))");
    let locked = async { Ok(locked.bind(lane).fetch_one(connection).await?) };
    within(STATEMENT_PATIENCE, locked).await
}
