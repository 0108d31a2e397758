//! The consumer's loop: poll, pace, drain, handle, and let the offsets follow.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    message::{BorrowedMessage, Headers},
};
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tracing::{debug, info, warn};

use super::{Handler, Membership, Record, batch::Batches};
use crate::{Envelope, Error, lane::Lane, message::BadHeaders, start::Messaging};

/// How long a poll waits for the first record; also how soon a stop is noticed.
const POLL_PATIENCE: Duration = Duration::from_millis(100);
/// Minimum time between the starts of two transactions of a busy lane.
const BUSY_GAP: Duration = Duration::from_millis(5);
/// A lane is busy from this many records per window on.
const BUSY_RECORDS: usize = 40;
const PACE_WINDOW: Duration = Duration::from_millis(250);

pub(super) fn run<H: Handler>(
    messaging: &Messaging,
    membership: &Membership,
    handler: H,
) -> Result<(), Error> {
    let runtime = own_runtime()?;
    let consumer = subscribe(messaging, membership)?;
    let Some(lane) = runtime.block_on(claim(messaging, membership))? else { return Ok(()) };
    info!(lane = membership.name, messaging.consumer.group.name = membership.group, "listening");
    let batches = Batches::new(messaging.clone(), membership.clone(), lane, handler);
    Loop { messaging, membership, consumer, runtime, batches, topics: HashMap::new() }.run()
}

/// A lane's transactions run on its own thread.
pub(crate) fn own_runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Other(format!("starting a runtime: {error}")))
}

/// Nothing when the process is stopped before the lane is free.
async fn claim(messaging: &Messaging, membership: &Membership) -> Result<Option<Lane>, Error> {
    tokio::select! {
        lane = messaging.claim(&membership.name) => lane.map(Some),
        () = messaging.shutdown.cancelled() => Ok(None),
    }
}

struct Loop<'a, H> {
    messaging: &'a Messaging,
    membership: &'a Membership,
    consumer: BaseConsumer<Rebalances>,
    runtime: Runtime,
    batches: Batches<H>,
    topics: HashMap<String, Arc<str>>,
}

impl<H: Handler> Loop<'_, H> {
    fn run(mut self) -> Result<(), Error> {
        let mut pace = Pace::new();
        while !self.messaging.shutdown.is_cancelled() {
            let Some(first) = self.poll(POLL_PATIENCE) else {
                self.runtime.block_on(self.batches.idle());
                continue;
            };
            std::thread::sleep(pace.gap());
            let mut batch = vec![first];
            while batch.len() < self.membership.batch_limit {
                let Some(next) = self.poll(Duration::ZERO) else { break };
                batch.push(next);
            }
            pace.starts(batch.len());
            if !self.handle(&batch)? {
                break;
            }
        }
        self.runtime.block_on(self.batches.close());
        info!(lane = self.membership.name, "stopped");
        Ok(())
    }

    /// Tells whether the batch was handled: it is not when the process stops meanwhile.
    fn handle(&mut self, batch: &[Record]) -> Result<bool, Error> {
        let consumer = &self.consumer;
        // Should the handling take long because Postgres is away, the group must still hear of us.
        // A paused partition gives no records: polling only serves the group.
        let keep_alive = || {
            let paused = consumer.assignment().and_then(|assigned| consumer.pause(&assigned));
            let polled = consumer.poll(Duration::ZERO);
            debug!(?paused, records = polled.is_some(), "polled while waiting");
        };
        let handled = self.runtime.block_on(self.batches.handle(batch, &keep_alive))?;
        self.consumer.resume(&self.consumer.assignment()?)?;
        if handled && let Err(error) = self.consumer.store_offsets(&next_offsets(batch)?) {
            // The partition went to another member: it starts from the last committed offset, and
            // finds in the inbox what was done here.
            debug!(%error, "offsets not stored");
        }
        Ok(handled)
    }

    fn poll(&mut self, patience: Duration) -> Option<Record> {
        match self.consumer.poll(patience)? {
            Ok(message) => Some(read(&message, &mut self.topics)),
            Err(error) => {
                // A topic that is missing is made again by the housekeeping.
                warn!(lane = self.membership.name, %error, "polling");
                None
            }
        }
    }
}

fn subscribe(
    messaging: &Messaging,
    membership: &Membership,
) -> Result<BaseConsumer<Rebalances>, Error> {
    let consumer: BaseConsumer<Rebalances> = messaging
        .options
        .kafka
        .client(&membership.name)
        .set("group.id", &membership.group)
        // A member that comes back under its name within the session gets its partitions at once.
        .set("group.instance.id", &membership.name)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        // Offsets are stored after the transaction: Kafka's are hints, the truth is in Postgres.
        .set("enable.auto.offset.store", "false")
        .set("check.crcs", "true")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("queued.max.messages.kbytes", "8192")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.max.bytes", "8388608")
        .set("socket.nagle.disable", "true")
        .create_with_context(Rebalances { lane: membership.name.clone() })?;
    let topics: Vec<&str> = membership.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

/// Where the next batch begins, for each partition.
fn next_offsets(batch: &[Record]) -> Result<TopicPartitionList, Error> {
    let mut last: HashMap<(&str, i32), i64> = HashMap::new();
    for record in batch {
        last.insert((&record.topic, record.partition), record.offset);
    }
    let mut offsets = TopicPartitionList::with_capacity(last.len());
    for ((topic, partition), offset) in last {
        offsets.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset + 1))?;
    }
    Ok(offsets)
}

fn read(message: &BorrowedMessage<'_>, topics: &mut HashMap<String, Arc<str>>) -> Record {
    let topic = match topics.get(message.topic()) {
        Some(topic) => Arc::clone(topic),
        None => {
            let topic: Arc<str> = message.topic().into();
            topics.insert(message.topic().to_owned(), Arc::clone(&topic));
            topic
        }
    };
    let raw_key = message.key().unwrap_or_default().to_vec();
    let key = String::from_utf8_lossy(&raw_key).into_owned();
    let (envelope, raw_headers) = match message.headers() {
        Some(headers) => {
            let raw = headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
            (Envelope::from_headers(&key, headers), raw.collect())
        }
        None => (Err(BadHeaders::Missing("ce_id")), Vec::new()),
    };
    Record {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        envelope,
        payload: message.payload().unwrap_or_default().to_vec(),
        received_at: OffsetDateTime::now_utc(),
        raw_key,
        raw_headers,
    }
}

/// Starts of transactions, spaced when there is much to do: fewer and larger ones cost less, and
/// shorten the queues before the broker. Nothing waits when there is little to do.
pub(crate) struct Pace {
    last_start: Instant,
    window_start: Instant,
    /// Records since `window_start`.
    record_count: usize,
    busy: bool,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Pace { last_start: now, window_start: now, record_count: 0, busy: false }
    }

    /// How long to wait before the next transaction may start.
    pub(crate) fn gap(&self) -> Duration {
        if self.busy { BUSY_GAP.saturating_sub(self.last_start.elapsed()) } else { Duration::ZERO }
    }

    pub(crate) fn starts(&mut self, record_count: usize) {
        let now = Instant::now();
        self.last_start = now;
        self.record_count += record_count;
        if now.duration_since(self.window_start) >= PACE_WINDOW {
            self.busy = self.record_count >= BUSY_RECORDS;
            self.record_count = 0;
            self.window_start = now;
        }
    }
}

/// Tells which partitions come and go.
struct Rebalances {
    lane: String,
}

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                info!(lane = self.lane, partitions = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(partitions) => {
                info!(lane = self.lane, partitions = partitions.count(), "partitions revoked");
            }
            Rebalance::Error(error) => warn!(lane = self.lane, %error, "rebalance"),
        }
    }
}
