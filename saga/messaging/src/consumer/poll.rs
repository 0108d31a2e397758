//! The consumer's loop: poll, pace, drain, handle, and let the offsets follow.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tracing::{info, warn};

use super::{
    Handler, Membership, Record,
    batch::{Batches, Fate},
    pace::{Fetching, Pace},
    subscription::Subscription,
};
use crate::{Error, Verdict, error::chain, start::Messaging};

/// How long a poll waits for the first record; also how soon a stop is noticed.
const POLL_PATIENCE: Duration = Duration::from_millis(100);
/// How long a batch waits for what has arrived at the broker since the last one: 5 ms until the client
/// library asks again, 5 until a gathering broker answers, and a little more.
const FETCH_PATIENCE: Duration = Duration::from_millis(12);
/// What comes in one answer of the broker, partition by partition, is not further apart.
const ANSWER_PATIENCE: Duration = Duration::from_millis(1);
/// Records in one transaction. A batch and what follows from it take some 10 KiB for each of them, and
/// beyond some hundreds records hardly get cheaper.
const BATCH_LIMIT: usize = 600;
/// A batch of large records is complete with these many bytes.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) fn run<H: Handler>(
    messaging: &Messaging,
    membership: &Membership,
    handler: H,
) -> Result<(), Error> {
    let runtime = own_runtime()?;
    let batches = Batches::new(messaging.clone(), membership.clone(), handler);
    let mut lane = Loop { messaging, membership, runtime, batches };
    // The lane first: who waits for it must not drive its owner out of the group.
    while lane.runtime.block_on(lane.batches.claim())? {
        let group = &membership.group;
        info!(lane = membership.name, messaging.consumer.group.name = group, "listening");
        match lane.run() {
            Err(error) if error.verdict() == Verdict::Stop => {
                let (name, error) = (&membership.name, chain(&error));
                warn!(lane = name, error, "begins again: claims the lane, then joins the group");
                lane.batches.let_go();
            }
            other => return other,
        }
    }
    Ok(())
}

/// A lane's transactions run on its own thread.
pub(crate) fn own_runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Other(format!("starting a runtime: {error}")))
}

struct Loop<'a, H> {
    messaging: &'a Messaging,
    membership: &'a Membership,
    runtime: Runtime,
    batches: Batches<H>,
}

impl<H: Handler> Loop<'_, H> {
    /// Until the process stops, or the lane has a new owner: that is an error.
    fn run(&mut self) -> Result<(), Error> {
        let mut pace = Pace::new(Instant::now());
        let mut subscription = self.subscribe(pace.fetching())?;
        while !self.messaging.shutdown.is_cancelled() {
            if subscription.fetching() != pace.fetching() && subscription.is_well() {
                // The client library does not change this while it runs. The member comes back under
                // its name, so the group stays as it is; what was fetched and not handled comes again.
                drop(subscription);
                subscription = self.subscribe(pace.fetching())?;
                let (lane, fetching) = (&self.membership.name, pace.fetching());
                metrics::counter!("consumer_fetching_switched_total", "lane" => lane.clone())
                    .increment(1);
                info!(lane, ?fetching, "records are fetched in another way");
            }
            subscription.look_after_contact();
            subscription.look_after_coverage()?;
            let Some(first) = subscription.poll(POLL_PATIENCE)? else {
                pace.look(Instant::now());
                self.runtime.block_on(self.batches.idle())?;
                continue;
            };
            std::thread::sleep(pace.gap(Instant::now()));
            let batch = self.drain(first, &mut subscription)?;
            pace.starts(Instant::now(), batch.len());
            let handled = self.batches.handle(&batch, pace.is_busy(), &mut subscription);
            let fate = self.runtime.block_on(handled)?;
            pace.ends(Instant::now());
            match fate {
                Fate::Handled => subscription.handled(&batch)?,
                Fate::Stopped => break,
            }
        }
        self.runtime.block_on(self.batches.close());
        info!(lane = self.membership.name, "stopped");
        Ok(())
    }

    fn subscribe(&self, fetching: Fetching) -> Result<Subscription, Error> {
        Subscription::new(&self.messaging.options.kafka, self.membership, fetching)
    }

    fn drain(&self, first: Record, subscription: &mut Subscription) -> Result<Vec<Record>, Error> {
        let mut byte_count = first.payload.len();
        let mut batch = vec![first];
        // While records are gathered, what waits here came right after the last batch: the broker was
        // not asked again since. Taking it asks for all that has arrived, and that is waited for.
        let at_the_broker = match subscription.fetching() {
            Fetching::AtOnce => None,
            Fetching::Gathered => Some(FETCH_PATIENCE),
        };
        for mut patience in [Duration::ZERO].into_iter().chain(at_the_broker) {
            while batch.len() < BATCH_LIMIT && byte_count < BATCH_BYTES_MAX {
                let Some(next) = subscription.poll(patience)? else { break };
                byte_count += next.payload.len();
                batch.push(next);
                patience = patience.min(ANSWER_PATIENCE);
            }
        }
        Ok(batch)
    }
}
