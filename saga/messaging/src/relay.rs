//! Publishes what was committed. One producer for each process; it keeps the order of each key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    Error, Kafka,
    contact::Contact,
    outbox::{RECORD_LIMIT, Row},
};

/// How many records may wait for the broker. When they do, whoever publishes waits too, for a while.
const RECORDS_IN_FLIGHT_MAX: &str = "20000";
const KIBIBYTES_IN_FLIGHT_MAX: &str = "16384";
/// How long to wait before a record is offered again to a full queue.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(2);
/// A broker that takes nothing for so long is away: work goes on, and what it has to say is published
/// from the outbox when the broker is back.
const FULL_QUEUE_PATIENCE: Duration = Duration::from_secs(1);

/// A handle on the process's producer.
#[derive(Clone)]
pub struct Relay {
    producer: Arc<ThreadedProducer<Contact>>,
    namespace: Arc<str>,
    shutdown: CancellationToken,
}

/// Whether the broker has acknowledged a batch.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    outstanding: AtomicUsize,
    lost: AtomicBool,
}

impl Relay {
    /// Connects lazily: a broker that is away is waited for.
    /// Once `shutdown` is cancelled, a full queue is not waited for any more.
    pub fn start(
        kafka: &Kafka,
        client_id: &str,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let producer = config(kafka, client_id).create_with_context(Contact::of(client_id))?;
        Ok(Relay {
            producer: Arc::new(producer),
            namespace: kafka.namespace.as_str().into(),
            shutdown,
        })
    }

    /// Hands over committed rows in order, and waits a while when the queue is full: that is the
    /// back-pressure. Blocks the calling thread, which is a lane's own.
    pub(crate) fn publish(&self, rows: &[Row]) -> Arc<Acknowledgement> {
        let give_up_at = Instant::now() + FULL_QUEUE_PATIENCE;
        let acknowledgement = Arc::new(Acknowledgement {
            outstanding: AtomicUsize::new(rows.len()),
            lost: AtomicBool::new(false),
        });
        let mut accepted = 0;
        for row in rows {
            if let Err(error) = self.publish_row(row, &acknowledgement, give_up_at) {
                warn!(messaging.destination.name = %row.topic, %error, "record not accepted");
                // The rows after it must not overtake it.
                acknowledgement.give_up(rows.len() - accepted);
                break;
            }
            accepted += 1;
        }
        metrics::counter!("outbox_published_total").increment(accepted as u64);
        acknowledgement
    }

    fn publish_row(
        &self,
        row: &Row,
        acknowledgement: &Arc<Acknowledgement>,
        give_up_at: Instant,
    ) -> Result<(), KafkaError> {
        let topic = format!("{}{}", self.namespace, row.topic);
        let mut record = BaseRecord::with_opaque_to(&topic, Arc::clone(acknowledgement))
            .key(row.key.as_slice())
            .payload(row.payload.as_slice())
            .headers(headers(row));
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same))
                    if !self.shutdown.is_cancelled() && Instant::now() < give_up_at =>
                {
                    record = same;
                    std::thread::sleep(FULL_QUEUE_PAUSE);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until everything is acknowledged, or for `patience`.
    pub fn flush(&self, patience: Duration) {
        if let Err(error) = self.producer.flush(patience) {
            warn!(%error, "records were still unacknowledged: the next start publishes them");
        }
    }
}

fn config(kafka: &Kafka, client_id: &str) -> ClientConfig {
    let mut config = kafka.client(client_id);
    config
        // What the broker has twice has its effect once, by the inbox. The client's own idempotence
        // would add fatal errors, and a busy wait behind every request: see decision 0008.
        .set("enable.idempotence", "false")
        .set("acks", "all")
        // A record that is given up leaves a hole in its key's order: none is ever given up.
        .set("message.timeout.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", RECORDS_IN_FLIGHT_MAX)
        .set("queue.buffering.max.kbytes", KIBIBYTES_IN_FLIGHT_MAX)
        // Lingering adds itself to each of the hops of an order; batches come from commits.
        .set("linger.ms", "0")
        // One request at a time: one that is sent again does not fall behind a later one, so each
        // key keeps its order. And the next gathers what comes meanwhile: few large requests
        // under load, no wait without.
        .set("max.in.flight.requests.per.connection", "1")
        .set("message.max.bytes", RECORD_LIMIT);
    config
}

fn headers(row: &Row) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(row.headers.count());
    row.headers
        .iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("in_flight", &self.producer.in_flight_count()).finish()
    }
}

impl Acknowledgement {
    fn give_up(&self, row_count: usize) {
        self.lost.store(true, Ordering::Release);
        self.outstanding.fetch_sub(row_count, Ordering::AcqRel);
    }

    fn arrived(&self) {
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }

    /// Whether a record of the batch did not arrive: it has to be published again.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// Hears what became of each record.
impl ProducerContext for Contact {
    type DeliveryOpaque = Arc<Acknowledgement>;

    fn delivery(&self, report: &DeliveryResult<'_>, acknowledgement: Arc<Acknowledgement>) {
        match report {
            Ok(_) => {
                self.found();
                acknowledgement.arrived();
            }
            Err((error, _)) => {
                metrics::counter!("outbox_publish_failures_total").increment(1);
                warn!(%error, "record not delivered: it is published again from the outbox");
                acknowledgement.give_up(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
