//! Whether Kafka answers a client, told once when it stops to and once when it does again. The client
//! library tells it with every try to connect: some twenty times a second.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};
use tracing::{debug, info, warn};

/// Hears what the client library has to say of one client.
#[derive(Debug)]
pub(crate) struct Contact {
    client_id: String,
    is_lost: AtomicBool,
}

impl Contact {
    pub(crate) fn of(client_id: &str) -> Self {
        Contact { client_id: client_id.to_owned(), is_lost: AtomicBool::new(false) }
    }

    /// Whether no broker answers, as far as is known.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// A broker has answered.
    pub(crate) fn found(&self) {
        // Asked first: this is called for every record.
        if self.is_lost() && self.is_lost.swap(false, Ordering::Relaxed) {
            info!(messaging.client.id = self.client_id, "Kafka answers again");
        }
    }

    fn lost(&self, reason: &str) {
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            let client_id = &self.client_id;
            warn!(messaging.client.id = client_id, reason, "Kafka does not answer, waiting for it");
        }
    }
}

/// Nothing here is an ERROR: whatever it is, the client tries again, or is made again.
impl ClientContext for Contact {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, said: &str) {
        let client_id = &self.client_id;
        match level {
            _ if facility == SESSION => self.lost(said),
            _ if TOLD_ELSEWHERE.contains(&facility) => {
                debug!(messaging.client.id = client_id, facility, said, "librdkafka");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                warn!(messaging.client.id = client_id, facility, said, "librdkafka");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                info!(messaging.client.id = client_id, facility, said, "librdkafka");
            }
            RDKafkaLogLevel::Debug => {
                debug!(messaging.client.id = client_id, facility, said, "librdkafka");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let client_id = &self.client_id;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost(reason),
            // Of one connection: the others may do, and when none does that is told.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                debug!(messaging.client.id = client_id, %error, reason, "a connection is lost");
            }
            // The lane tells of it, and begins again.
            Some(RDKafkaErrorCode::FencedInstanceId) => {
                debug!(messaging.client.id = client_id, %error, reason, "the consumer is fenced");
            }
            _ => warn!(messaging.client.id = client_id, %error, reason, "Kafka said no"),
        }
    }
}

/// How librdkafka marks that the group's broker was silent for longer than a member may be: all there
/// is to hear when a broker hangs and its connections stay.
const SESSION: &str = "SESSTMOUT";
/// Of one connection, of one request, and what ends a consumer: what comes of it is told.
const TOLD_ELSEWHERE: [&str; 3] = ["FAIL", "REQTMOUT", "FATAL"];

#[cfg(test)]
mod tests;
