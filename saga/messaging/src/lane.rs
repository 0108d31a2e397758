//! A lane: one thread's own connection and its own ordered stream of outbox rows.

use std::{collections::VecDeque, str::FromStr, sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, query, query_scalar};
use tracing::{info, warn};

use crate::{
    Error, Tx,
    outbox::{self, Ownership, Row},
    relay::{Acknowledgement, Relay},
};

/// Rows read at once when publishing what an earlier owner left.
const CATCH_UP_ROWS: i64 = 1_000;
/// How often to look whether the earlier owner has let go.
const CLAIM_PAUSE: Duration = Duration::from_millis(200);

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
}

impl Lane {
    /// Becomes the owner, once no living process is, and publishes what an earlier one left.
    pub(crate) async fn claim(
        database_url: &str,
        name: &str,
        source: &str,
        relay: &Relay,
    ) -> Result<Self, Error> {
        let mut connection = connect(database_url, name).await?;
        let mut told = false;
        while !try_lock(&mut connection, name).await? {
            if !told {
                info!(lane = name, "waiting for the lane's owner to let go");
                told = true;
            }
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        let mut lane = Lane::take_over(connection, name, source, relay).await?;
        lane.catch_up().await?;
        Ok(lane)
    }

    /// As [`Lane::claim`], but gives up when the lane has a living owner.
    pub(crate) async fn adopt(
        database_url: &str,
        name: &str,
        source: &str,
        relay: &Relay,
    ) -> Result<Option<Self>, Error> {
        let mut connection = connect(database_url, name).await?;
        if !try_lock(&mut connection, name).await? {
            return Ok(None);
        }
        let mut lane = Lane::take_over(connection, name, source, relay).await?;
        lane.catch_up().await?;
        Ok(Some(lane))
    }

    async fn take_over(
        mut connection: PgConnection,
        name: &str,
        source: &str,
        relay: &Relay,
    ) -> Result<Self, Error> {
        let (epoch, last_seq, published_seq): (i64, i64, i64) = sqlx::query_as(
            "INSERT INTO outbox_lane (lane) VALUES ($1)
             ON CONFLICT (lane) DO UPDATE SET epoch = outbox_lane.epoch + 1
             RETURNING epoch, last_seq, published_seq",
        )
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
        Ok(Lane {
            name: name.to_owned(),
            source: source.to_owned(),
            connection,
            relay: relay.clone(),
            epoch,
            last_seq,
            published_seq,
            marked_seq: published_seq,
            unacknowledged: VecDeque::new(),
        })
    }

    /// Publishes, in order, every row that is not marked as published.
    async fn catch_up(&mut self) -> Result<(), Error> {
        let mut from = self.published_seq;
        self.unacknowledged.clear();
        let connection = &mut self.connection;
        while let Some((last_seq, rows)) =
            outbox::read_after(connection, &self.name, from, CATCH_UP_ROWS).await?
        {
            info!(lane = self.name, rows = rows.len(), "publishing what was left");
            self.unacknowledged.push_back((last_seq, self.relay.publish(&rows)));
            from = last_seq;
        }
        Ok(())
    }

    /// Begins a transaction. It ends with [`Lane::commit`] or [`Lane::roll_back`].
    pub(crate) async fn begin(&mut self) -> Result<Tx<'_>, Error> {
        if self.has_lost() {
            self.note_acknowledgements();
            self.catch_up().await?;
        }
        query("BEGIN").execute(&mut self.connection).await?;
        Ok(Tx::new(&mut self.connection, &self.source))
    }

    /// Makes the transaction and what it has to say durable, then publishes.
    pub(crate) async fn commit(&mut self, rows: Vec<Row>) -> Result<(), Error> {
        self.note_acknowledgements();
        if rows.is_empty() {
            query("COMMIT").execute(&mut self.connection).await?;
            return Ok(());
        }
        let owner =
            Ownership { lane: &self.name, epoch: self.epoch, published_seq: self.published_seq };
        outbox::write(&mut self.connection, owner, self.last_seq + 1, &rows).await?;
        query("COMMIT").execute(&mut self.connection).await?;
        self.marked_seq = self.published_seq;
        self.last_seq += rows.len() as i64;
        // Never before the commit is durable: what was told cannot be taken back.
        self.unacknowledged.push_back((self.last_seq, self.relay.publish(&rows)));
        Ok(())
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), Error> {
        query("ROLLBACK").execute(&mut self.connection).await?;
        Ok(())
    }

    /// When nothing else happens: marks what is published, publishes again what was lost.
    pub(crate) async fn idle(&mut self) -> Result<(), Error> {
        self.note_acknowledgements();
        if self.has_lost() {
            self.catch_up().await?;
        }
        if self.published_seq > self.marked_seq {
            let owner = Ownership {
                lane: &self.name,
                epoch: self.epoch,
                published_seq: self.published_seq,
            };
            outbox::mark(&mut self.connection, owner).await?;
            self.marked_seq = self.published_seq;
        }
        Ok(())
    }

    /// Whether everything written is acknowledged and marked.
    pub(crate) fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty() && self.marked_seq == self.last_seq
    }

    /// Whether a batch did not arrive in full: then it and all after it are published again.
    fn has_lost(&self) -> bool {
        self.unacknowledged.iter().any(|(_, batch)| batch.is_settled() && batch.is_lost())
    }

    /// Moves the mark over the batches that have arrived, in order and without a hole.
    fn note_acknowledgements(&mut self) {
        while let Some((last_seq, batch)) = self.unacknowledged.front() {
            if !batch.is_settled() || batch.is_lost() {
                return;
            }
            self.published_seq = *last_seq;
            self.unacknowledged.pop_front();
        }
    }
}

async fn connect(database_url: &str, lane: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(database_url)?
        .application_name(lane)
        // A plan that was made while a table was empty would stay: plan by the statement alone.
        .options([("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")])
        .options([("enable_hashjoin", "off"), ("enable_mergejoin", "off")]);
    let mut tries = 0;
    loop {
        match PgConnection::connect_with(&options).await {
            Ok(connection) => return Ok(connection),
            Err(error) if tries >= CONNECT_TRIES => return Err(error.into()),
            Err(error) => {
                warn!(lane, %error, "no connection to Postgres yet");
                tries += 1;
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
        }
    }
}

const CONNECT_TRIES: u32 = 20;
const CONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Held by the connection: it is let go when the connection ends, however that comes about.
async fn try_lock(connection: &mut PgConnection, lane: &str) -> Result<bool, Error> {
    let locked = query_scalar("SELECT pg_try_advisory_lock(hashtextextended('lane ' || $1, 0))");
    Ok(locked.bind(lane).fetch_one(connection).await?)
}
