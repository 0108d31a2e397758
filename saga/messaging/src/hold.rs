//! A thread's hold on its lane: claimed at first, lost in trouble, claimed again; and the frame of
//! every transaction.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tracing::warn;

use crate::{
    Error, Messaging, Options, Tx, Verdict,
    error::{chain, panic_text, within},
    lane::{Lane, STATEMENT_PATIENCE},
};

/// How long a transaction may take. A connection can hang without a word, when a machine is gone or a
/// row is locked by somebody who forgot it; the group must hear of us before it gives us up.
const TRANSACTION_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Hold {
    messaging: Messaging,
    lane_name: String,
    /// Absent after trouble: claimed again before the next transaction.
    lane: Option<Lane>,
}

impl Hold {
    pub(crate) fn new(messaging: Messaging, lane_name: String) -> Self {
        Hold { messaging, lane_name, lane: None }
    }

    /// Waits until the lane is free, and until Postgres is there. Tells whether it is ours: not
    /// when the process is to stop before.
    pub(crate) async fn claim(&mut self) -> Result<bool, Error> {
        let Options { database_url, service, .. } = &*self.messaging.options;
        tokio::select! {
            lane = Lane::claim(database_url, &self.lane_name, service, &self.messaging.relay) => {
                self.lane = Some(lane?);
                Ok(true)
            }
            () = self.messaging.shutdown.cancelled() => Ok(false),
        }
    }

    /// Commits what `work` does and says. Rolls it back when it fails, or panics. Where another
    /// transaction is likely within a moment, it is begun together with the end of this one.
    pub(crate) async fn transaction<T>(
        &mut self,
        more_soon: bool,
        work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.claim_again().await?;
        let Some(lane) = &mut self.lane else { return Err(self.fenced()) };
        // To publish what was lost takes as long as there is much of it: that has its own limits.
        let result = match lane.look_after_published().await {
            Ok(()) => within(TRANSACTION_PATIENCE, in_transaction(lane, more_soon, work)).await,
            Err(failure) => Err(failure),
        };
        // What has no transaction, or cannot end it, is of no use any more.
        if let Err(failure) = &result
            && (failure.spoils_connection()
                || within(STATEMENT_PATIENCE, lane.roll_back()).await.is_err())
        {
            self.lane = None;
        }
        result
    }

    /// When there is nothing to do: marks what is published. Fails when the lane has a new owner.
    pub(crate) async fn idle(&mut self) -> Result<(), Error> {
        let had_it = self.lane.is_some();
        let result = match &mut self.lane {
            Some(lane) => lane.idle().await,
            None => self.claim_again().await,
        };
        let Err(failure) = result else { return Ok(()) };
        self.lane = None;
        if failure.verdict() == Verdict::Stop {
            return Err(failure);
        }
        if had_it {
            warn!(
                lane = self.lane_name,
                error = chain(&failure),
                "lost the lane, claiming it again"
            );
        }
        Ok(())
    }

    /// Gives the lane up, so that another process or a new claim can have it.
    pub(crate) fn let_go(&mut self) {
        self.lane = None;
    }

    /// Before the process stops: marks what the broker acknowledges within a short while.
    pub(crate) async fn settle(&mut self) {
        let Some(lane) = &mut self.lane else { return };
        if let Err(failure) = lane.settle().await {
            warn!(lane = self.lane_name, error = chain(&failure), "the next start publishes again");
        }
    }

    async fn claim_again(&mut self) -> Result<(), Error> {
        if self.lane.is_none() {
            let Options { database_url, service, .. } = &*self.messaging.options;
            let relay = &self.messaging.relay;
            let claimed = Lane::try_claim(database_url, &self.lane_name, service, relay).await?;
            self.lane = Some(claimed.ok_or_else(|| self.fenced())?);
        }
        Ok(())
    }

    fn fenced(&self) -> Error {
        Error::Fenced { lane: self.lane_name.clone() }
    }
}

async fn in_transaction<T>(
    lane: &mut Lane,
    more_soon: bool,
    work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tx = lane.begin().await?;
    let done = AssertUnwindSafe(work(&mut tx)).catch_unwind().await;
    let outgoing = tx.into_outgoing();
    let value =
        done.unwrap_or_else(|panic| Err(Error::Panicked(panic_text(&*panic).to_owned())))?;
    lane.commit(outgoing, more_soon).await?;
    Ok(value)
}
