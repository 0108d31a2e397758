//! One batch, one transaction; and what happens when it fails.

use std::time::Duration;

use sqlx::query_scalar;
use time::OffsetDateTime;
use tracing::{error, warn};

use super::{Handled, Handler, Membership, Record, subscription::Subscription};
use crate::{
    Error, Verdict, dead_letter,
    error::{chain, pause_after},
    hold::Hold,
    start::Messaging,
};

/// After this many failures on its own, a message goes to the dead letters.
const CULPRIT_FAILURES_MAX: i32 = 3;

pub(super) struct Batches<H> {
    messaging: Messaging,
    membership: Membership,
    hold: Hold,
    handler: H,
}

/// What became of a batch.
pub(super) enum Fate {
    /// Every record has had its effect or is a dead letter.
    Handled,
    /// The process is to stop before.
    Stopped,
}

/// Who hears that a record is set aside.
#[derive(Debug, Clone, Copy)]
enum Tell {
    Sender,
    Nobody,
}

impl<H: Handler> Batches<H> {
    pub(super) fn new(messaging: Messaging, membership: Membership, handler: H) -> Self {
        let hold = Hold::new(messaging.clone(), membership.name.clone());
        Batches { messaging, membership, hold, handler }
    }

    /// Waits for the lane. Tells whether it is ours: not when the process is to stop before.
    pub(super) async fn claim(&mut self) -> Result<bool, Error> {
        self.hold.claim().await
    }

    /// Fails only when somebody else has the lane, or the place in the group. `more_soon` as for
    /// [`Hold::transaction`].
    pub(super) async fn handle(
        &mut self,
        batch: &[Record],
        more_soon: bool,
        subscription: &mut Subscription,
    ) -> Result<Fate, Error> {
        // Parts still to do, the first one last.
        let mut parts = vec![batch];
        let mut tries = 0;
        while let Some(part) = parts.pop() {
            let Err(failure) = self.transaction(part, more_soon).await else {
                tries = 0;
                continue;
            };
            match (failure.verdict_after(tries), part) {
                (Verdict::Stop, _) => return Err(failure),
                (Verdict::Again | Verdict::Later, _) => {
                    metrics::counter!("consumer_batch_failures_total").increment(1);
                    let (lane, error) = (&self.membership.name, chain(&failure));
                    warn!(lane, error, records = part.len(), "batch failed, trying again");
                }
                (Verdict::Culprit, [record]) => {
                    if self.note_culprit(record, &failure).await {
                        tries = 0;
                        continue;
                    }
                }
                (Verdict::Culprit, _) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                    tries = 0;
                    continue;
                }
            }
            parts.push(part);
            // Should Postgres be away for long, the group must still hear of us.
            subscription.keep_alive()?;
            if self.stopped_within(pause_after(tries)).await {
                return Ok(Fate::Stopped);
            }
            tries += 1;
        }
        Ok(Fate::Handled)
    }

    async fn transaction(&mut self, part: &[Record], more_soon: bool) -> Result<(), Error> {
        let started_at = OffsetDateTime::now_utc();
        let handler = &mut self.handler;
        let result =
            self.hold.transaction(more_soon, async |tx| handler.handle(tx, part).await).await;
        self.handler.ended(result.is_ok());
        if result.is_ok() {
            self.observe(part, started_at);
        }
        result
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
        let reason = chain(failure).replace('\0', "\u{fffd}");
        warn!(
            messaging.destination.name = %record.topic,
            messaging.destination.partition.id = record.partition,
            messaging.kafka.offset = record.offset,
            reason,
            "message failed on its own"
        );
        let noted = match self.try_note_culprit(record, &reason, Tell::Sender).await {
            // Not even that it is set aside can be told: then it is set aside without a word.
            Err(failure) if failure.verdict() == Verdict::Culprit => {
                error!(lane = self.membership.name, error = chain(&failure), "nobody can be told");
                self.try_note_culprit(record, &reason, Tell::Nobody).await
            }
            noted => noted,
        };
        noted.unwrap_or_else(|failure| {
            error!(lane = self.membership.name, error = chain(&failure), "noting the failure");
            false
        })
    }

    async fn try_note_culprit(
        &mut self,
        record: &Record,
        reason: &str,
        tell: Tell,
    ) -> Result<bool, Error> {
        let Batches { handler, hold, .. } = self;
        let note = query_scalar(
            "INSERT INTO inbox_culprit (topic, record_part, record_offset, failure_count, reason)
             VALUES ($1, $2, $3, 1, $4)
             ON CONFLICT (topic, record_part, record_offset) DO UPDATE
             SET failure_count = inbox_culprit.failure_count + 1, reason = $4, failed_at = now()
             RETURNING failure_count",
        );
        let note = note.bind(&*record.topic).bind(record.partition).bind(record.offset);
        let set_aside = hold
            .transaction(false, async |tx| {
                let failure_count: i32 = note.bind(reason).fetch_one(&mut **tx).await?;
                if failure_count < CULPRIT_FAILURES_MAX {
                    return Ok(false);
                }
                dead_letter::set_aside(tx, record, reason)?;
                match tell {
                    Tell::Sender => handler.set_aside(tx, record, reason).await?,
                    Tell::Nobody => {}
                }
                Ok(true)
            })
            .await;
        handler.ended(set_aside.is_ok());
        set_aside
    }

    async fn stopped_within(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = self.messaging.shutdown.cancelled() => true,
        }
    }

    /// When there is nothing to do: marks what is published. Fails when the lane has a new owner.
    pub(super) async fn idle(&mut self) -> Result<(), Error> {
        self.hold.idle().await
    }

    pub(super) fn let_go(&mut self) {
        self.hold.let_go();
    }

    pub(super) async fn close(&mut self) {
        self.hold.settle().await;
    }
}
