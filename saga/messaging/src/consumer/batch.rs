//! One batch, one transaction; and what happens when it fails.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use sqlx::query_scalar;
use time::OffsetDateTime;
use tracing::{error, warn};

use super::{Handled, Handler, Membership, Record};
use crate::{Error, Verdict, dead_letter, error::chain, lane::Lane, start::Messaging};

/// After this many failures on its own, a message goes to the dead letters.
const CULPRIT_FAILURES_MAX: i32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often, and how far apart, to look for the last acknowledgements before stopping.
const CLOSE_TRIES: u32 = 50;
const CLOSE_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Batches<H> {
    messaging: Messaging,
    membership: Membership,
    /// Absent after trouble: claimed again before the next transaction.
    lane: Option<Lane>,
    handler: H,
}

impl<H: Handler> Batches<H> {
    pub(super) fn new(
        messaging: Messaging,
        membership: Membership,
        lane: Lane,
        handler: H,
    ) -> Self {
        Batches { messaging, membership, lane: Some(lane), handler }
    }

    /// Returns when every record of the batch has had its effect or is a dead letter; with `false`
    /// when the process is to stop before.
    pub(super) async fn handle(
        &mut self,
        batch: &[Record],
        keep_alive: &dyn Fn(),
    ) -> Result<bool, Error> {
        // Parts still to do, the first one last.
        let mut parts = vec![batch];
        let mut pause = FIRST_PAUSE;
        while let Some(part) = parts.pop() {
            let Err(failure) = self.transaction(part).await else {
                pause = FIRST_PAUSE;
                continue;
            };
            metrics::counter!("consumer_batch_failures_total").increment(1);
            match failure.verdict() {
                Verdict::Again => parts.push(part),
                Verdict::Stop | Verdict::Later => {
                    let error = chain(&failure);
                    warn!(lane = self.membership.name, error, "batch failed, trying again");
                    self.lane = None;
                    parts.push(part);
                    keep_alive();
                    if self.stopped_within(pause).await {
                        return Ok(false);
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Verdict::Culprit if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Verdict::Culprit => {
                    if let Some(record) = part.first()
                        && !self.note_culprit(record, &failure).await
                    {
                        parts.push(part);
                    }
                }
            }
        }
        Ok(true)
    }

    async fn transaction(&mut self, part: &[Record]) -> Result<(), Error> {
        let started_at = OffsetDateTime::now_utc();
        let lane = match &mut self.lane {
            Some(lane) => lane,
            None => self.lane.insert(self.messaging.claim(&self.membership.name).await?),
        };
        let mut tx = lane.begin().await?;
        let handled = AssertUnwindSafe(self.handler.handle(&mut tx, part)).catch_unwind().await;
        let outgoing = tx.into_outgoing();
        let result = match handled {
            Ok(Ok(())) => lane.commit(outgoing).await,
            Ok(Err(failure)) => Err(failure),
            Err(panic) => Err(Error::Panicked(what_was_said(&*panic))),
        };
        self.handler.ended(result.is_ok());
        match result {
            Ok(()) => {
                self.observe(part, started_at);
                Ok(())
            }
            Err(failure) => {
                if lane.roll_back().await.is_err() {
                    self.lane = None;
                }
                Err(failure)
            }
        }
    }

    fn observe(&self, part: &[Record], started_at: OffsetDateTime) {
        let finished_at = OffsetDateTime::now_utc();
        let took = (finished_at - started_at).as_seconds_f64();
        let lane = || self.membership.name.clone();
        metrics::histogram!("consumer_transaction_seconds", "lane" => lane()).record(took);
        metrics::counter!("consumer_records_total", "lane" => lane()).increment(part.len() as u64);
        if let Some(observe) = self.messaging.options.observe {
            for record in part {
                let handled = Handled { record, started_at, finished_at };
                observe(self.messaging.options.service, &handled);
            }
        }
    }

    /// Counts a message's failures in the database, so that a restart does not begin again. At the
    /// limit it becomes a dead letter. Tells whether it did.
    async fn note_culprit(&mut self, record: &Record, failure: &Error) -> bool {
        let reason = chain(failure);
        warn!(
            messaging.destination.name = %record.topic,
            messaging.destination.partition.id = record.partition,
            messaging.kafka.offset = record.offset,
            reason,
            "message failed on its own"
        );
        match self.try_note_culprit(record, &reason).await {
            Ok(set_aside) => set_aside,
            Err(error) => {
                error!(error = chain(&error), "noting the failure");
                self.lane = None;
                tokio::time::sleep(FIRST_PAUSE).await;
                false
            }
        }
    }

    async fn try_note_culprit(&mut self, record: &Record, reason: &str) -> Result<bool, Error> {
        let lane = match &mut self.lane {
            Some(lane) => lane,
            None => self.lane.insert(self.messaging.claim(&self.membership.name).await?),
        };
        let mut tx = lane.begin().await?;
        let failure_count: i32 = query_scalar(
            "INSERT INTO inbox_culprit (topic, record_part, record_offset, failure_count, reason)
             VALUES ($1, $2, $3, 1, $4)
             ON CONFLICT (topic, record_part, record_offset) DO UPDATE
             SET failure_count = inbox_culprit.failure_count + 1, reason = $4, failed_at = now()
             RETURNING failure_count",
        )
        .bind(&*record.topic)
        .bind(record.partition)
        .bind(record.offset)
        .bind(reason.replace('\0', "\u{fffd}"))
        .fetch_one(&mut *tx)
        .await?;
        let set_aside = failure_count >= CULPRIT_FAILURES_MAX;
        if set_aside {
            dead_letter::set_aside(&mut tx, record, reason)?;
            self.handler.set_aside(&mut tx, record, reason).await?;
        }
        let outgoing = tx.into_outgoing();
        lane.commit(outgoing).await?;
        Ok(set_aside)
    }

    async fn stopped_within(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => false,
            () = self.messaging.shutdown.cancelled() => true,
        }
    }

    /// When there is nothing to do: marks what is published.
    pub(super) async fn idle(&mut self) {
        let Some(lane) = &mut self.lane else { return };
        if let Err(error) = lane.idle().await {
            warn!(lane = self.membership.name, error = chain(&error), "marking what is published");
            self.lane = None;
        }
    }

    /// Marks what the broker acknowledges within a short while.
    pub(super) async fn close(&mut self) {
        for _ in 0..CLOSE_TRIES {
            self.idle().await;
            if self.lane.as_ref().is_none_or(Lane::is_settled) {
                return;
            }
            tokio::time::sleep(CLOSE_PAUSE).await;
        }
    }
}

/// Between 75 and 125 per cent, so that lanes that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let spread = OffsetDateTime::now_utc().microsecond() % 512;
    pause * (768 + spread) / 1024
}

pub(crate) fn what_was_said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let owned = || panic.downcast_ref::<String>().cloned();
    text.or_else(owned).unwrap_or_else(|| "without a word".to_owned())
}
