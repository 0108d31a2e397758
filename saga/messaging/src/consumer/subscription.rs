//! A member of a consumer group: its records come out, its offsets go back.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
    message::{BorrowedHeaders, BorrowedMessage, Headers as _},
};
use time::OffsetDateTime;
use tracing::{debug, info, warn};

use super::{Membership, Record, coverage::Coverage, pace::Fetching};
use crate::{
    Envelope, Error,
    contact::Contact,
    message::{BadHeaders, Headers},
    start::Kafka,
};

pub(super) struct Subscription {
    consumer: BaseConsumer<Rebalances>,
    lane: String,
    namespace: String,
    coverage: Coverage,
    /// What waits for a transaction, also where the group has taken it away since.
    paused: TopicPartitionList,
    /// Records that came although only the group was to be served.
    carried: VecDeque<Record>,
    topics: HashMap<String, Arc<str>>,
    fetching: Fetching,
    /// When a broker that is away was last asked whether it is back.
    asked_at: Instant,
}

/// How often a broker that is away is asked, and how long it may take to answer.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
const ASK_PATIENCE: Duration = Duration::from_millis(100);

impl Subscription {
    pub(super) fn new(
        kafka: &Kafka,
        membership: &Membership,
        fetching: Fetching,
    ) -> Result<Self, Error> {
        // While so many records of a partition wait here, no more of it are fetched. Requests are what
        // costs, not records: a lane with gaps between its transactions asks twice for each of them,
        // when the last batch is taken and when the next one is.
        let (fetch_bytes, fetch_wait_ms, enough_records) = match fetching {
            // Not longer: a fetch that began before all partitions were known holds them up.
            Fetching::AtOnce => ("1", "100", "16"),
            Fetching::Gathered => ("8192", "5", "1"),
        };
        let consumer: BaseConsumer<Rebalances> = kafka
            .client(&membership.name)
            .set("group.id", &membership.group)
            // A member that comes back under its name within the session gets its partitions at
            // once.
            .set("group.instance.id", &membership.name)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            // Longer than a transaction may take: who hangs for longer leaves its partitions to others.
            .set("max.poll.interval.ms", "120000")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            // Offsets are stored after the transaction: Kafka's are hints, the truth is in Postgres.
            .set("enable.auto.offset.store", "false")
            .set("check.crcs", "true")
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("fetch.min.bytes", fetch_bytes)
            .set("fetch.wait.max.ms", fetch_wait_ms)
            .set("queued.max.messages.kbytes", "2048")
            .set("queued.min.messages", enough_records)
            .set("fetch.queue.backoff.ms", "5")
            // Of a partition. A larger record comes all the same, alone.
            .set("fetch.message.max.bytes", "262144")
            .set("fetch.max.bytes", "2097152")
            .create_with_context(Rebalances {
                lane: membership.name.clone(),
                contact: Contact::of(&membership.name),
                assigned: AtomicBool::new(false),
            })?;
        let topics =
            membership.topics.iter().map(|topic| format!("{}{topic}", kafka.namespace)).collect();
        let subscription = Subscription {
            consumer,
            lane: membership.name.clone(),
            namespace: kafka.namespace.clone(),
            coverage: Coverage::new(membership.group.clone(), topics, kafka.partition_count),
            paused: TopicPartitionList::new(),
            carried: VecDeque::new(),
            topics: HashMap::new(),
            fetching,
            asked_at: Instant::now(),
        };
        subscription.join()?;
        Ok(subscription)
    }

    pub(super) fn fetching(&self) -> Fetching {
        self.fetching
    }

    /// Not while the broker is away: to leave would take long then.
    pub(super) fn is_well(&self) -> bool {
        !self.consumer.context().contact.is_lost()
    }

    /// The next record, if one comes in time. Fails when the group has another member of our name.
    pub(super) fn poll(&mut self, patience: Duration) -> Result<Option<Record>, Error> {
        if let Some(carried) = self.carried.pop_front() {
            return Ok(Some(carried));
        }
        if self.paused.count() > 0 {
            // A partition that was paused, went, and comes back is still paused.
            self.consumer.resume(&std::mem::take(&mut self.paused))?;
        }
        self.receive(patience)
    }

    /// Asks a broker that was away whether it is back: where no record comes nothing else tells. May
    /// wait for it: not while records are in hand.
    pub(super) fn look_after_contact(&mut self) {
        if self.is_well() || self.asked_at.elapsed() < ASK_INTERVAL {
            return;
        }
        self.asked_at = Instant::now();
        if self.consumer.fetch_metadata(None, ASK_PATIENCE).is_ok() {
            self.consumer.context().contact.found();
        }
    }

    /// Joins the group again where nobody has some of the partitions. May wait for the broker: not
    /// while records are in hand.
    pub(super) fn look_after_coverage(&mut self) -> Result<(), Error> {
        if self.consumer.context().assigned.swap(false, Ordering::Relaxed) {
            self.coverage.look_soon();
        }
        if self.coverage.is_lacking(&self.consumer) {
            let lane = || self.lane.clone();
            warn!(lane = lane(), "nobody has some of the partitions, joining the group again");
            metrics::counter!("consumer_rejoined_total", "lane" => lane()).increment(1);
            self.join()?;
        }
        Ok(())
    }

    /// Lets the group hear of us while a transaction has to wait. A paused partition gives no
    /// records; what comes of a new one is kept for the next poll.
    pub(super) fn keep_alive(&mut self) -> Result<(), Error> {
        let assigned = self.consumer.assignment()?;
        self.consumer.pause(&assigned)?;
        for partition in assigned.elements() {
            let (topic, number) = (partition.topic(), partition.partition());
            if self.paused.find_partition(topic, number).is_none() {
                self.paused.add_partition(topic, number);
            }
        }
        if let Some(record) = self.receive(Duration::ZERO)? {
            self.carried.push_back(record);
        }
        Ok(())
    }

    /// The records had their effect: nobody needs to read them again.
    pub(super) fn handled(&self, batch: &[Record]) -> Result<(), Error> {
        if let Err(error) = self.consumer.store_offsets(&self.next_offsets(batch)?) {
            // The partition went to another member: it starts from the last committed offset, and
            // finds in the inbox what was done here.
            debug!(%error, "offsets not stored");
        }
        Ok(())
    }

    fn join(&self) -> Result<(), Error> {
        let topics: Vec<&str> = self.coverage.topics().collect();
        Ok(self.consumer.subscribe(&topics)?)
    }

    fn receive(&mut self, patience: Duration) -> Result<Option<Record>, Error> {
        match self.consumer.poll(patience) {
            None => Ok(None),
            Some(Ok(message)) => {
                self.consumer.context().contact.found();
                let topic = name_within(&self.namespace, message.topic(), &mut self.topics);
                Ok(Some(read(&message, topic)))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(error))) => {
                Err(Error::Expelled { lane: self.lane.clone(), error })
            }
            // The consumer's context has told of it. A topic that is missing is made again by the
            // housekeeping.
            Some(Err(error)) => {
                debug!(lane = self.lane, %error, "polling");
                Ok(None)
            }
        }
    }

    /// Where the next batch begins, for each partition.
    fn next_offsets(&self, batch: &[Record]) -> Result<TopicPartitionList, Error> {
        let mut last: HashMap<(&str, i32), i64> = HashMap::new();
        for record in batch {
            last.insert((&record.topic, record.partition), record.offset);
        }
        let mut offsets = TopicPartitionList::with_capacity(last.len());
        for ((topic, partition), offset) in last {
            let topic = format!("{}{topic}", self.namespace);
            offsets.add_partition_offset(&topic, partition, rdkafka::Offset::Offset(offset + 1))?;
        }
        Ok(offsets)
    }
}

/// The name of a topic as the rest of the crate knows it; made once.
fn name_within(namespace: &str, topic: &str, known: &mut HashMap<String, Arc<str>>) -> Arc<str> {
    if let Some(name) = known.get(topic) {
        return Arc::clone(name);
    }
    let name: Arc<str> = topic.strip_prefix(namespace).unwrap_or(topic).into();
    known.insert(topic.to_owned(), Arc::clone(&name));
    name
}

fn read(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
    let key = message.key().unwrap_or_default();
    let (envelope, headers) = match message.headers().map(as_they_came) {
        None => (Err(BadHeaders::Missing("ce_id")), Headers::default()),
        Some(None) => (Err(BadHeaders::Name), Headers::default()),
        Some(Some(headers)) => {
            (Envelope::from_headers(&String::from_utf8_lossy(key), &headers), headers)
        }
    };
    Record {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        envelope,
        payload: message.payload().unwrap_or_default().to_vec(),
        received_at: OffsetDateTime::now_utc(),
        key: key.to_vec(),
        headers,
    }
}

/// Nothing when one has a name that is not UTF-8: the client library panics at it.
fn as_they_came(borrowed: &BorrowedHeaders) -> Option<Headers> {
    let read = || {
        let mut headers = Headers::with_room();
        for header in borrowed.iter() {
            headers.add(header.key, header.value.unwrap_or_default());
        }
        headers
    };
    catch_unwind(AssertUnwindSafe(read)).ok()
}

/// Tells which partitions come and go.
struct Rebalances {
    lane: String,
    contact: Contact,
    /// Whether partitions were assigned, be it none, since this was looked at.
    assigned: AtomicBool,
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, said: &str) {
        self.contact.log(level, facility, said);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.contact.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                self.contact.found();
                self.assigned.store(true, Ordering::Relaxed);
                info!(lane = self.lane, partitions = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(partitions) => {
                info!(lane = self.lane, partitions = partitions.count(), "partitions revoked");
            }
            Rebalance::Error(error) => warn!(lane = self.lane, %error, "rebalance"),
        }
    }
}
