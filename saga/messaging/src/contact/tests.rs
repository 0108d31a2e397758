use std::sync::{Arc, Mutex};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use super::*;

/// The levels of what is logged, without what is for developers.
#[derive(Clone, Default)]
struct Levels(Arc<Mutex<Vec<Level>>>);

impl Subscriber for Levels {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(*event.metadata().level());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn logged(work: impl FnOnce(&Contact)) -> Vec<Level> {
    let levels = Levels::default();
    tracing::subscriber::with_default(levels.clone(), || work(&Contact::of("lane")));
    levels.0.lock().unwrap().clone()
}

fn fail(contact: &Contact) {
    let refused = "Connect to ipv4#127.0.0.1:9092 failed: Connection refused";
    contact.log(RDKafkaLogLevel::Error, "FAIL", refused);
    contact.log(RDKafkaLogLevel::Warning, "REQTMOUT", "timed out 1 in-flight");
    contact.log(RDKafkaLogLevel::Warning, "SESSTMOUT", "revoking assignment and rejoining group");
    contact.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), refused);
    contact.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "2/2 brokers are down");
}

#[test]
fn a_broker_that_is_away_is_one_line_and_its_return_another() {
    let levels = logged(|contact| {
        contact.found();
        for _ in 0..2 {
            (0..100).for_each(|_| fail(contact));
            (0..100).for_each(|_| contact.found());
        }
    });
    assert_eq!(levels, [Level::WARN, Level::INFO, Level::WARN, Level::INFO]);
}

#[test]
fn what_the_client_library_says_wakes_nobody() {
    let levels = logged(|contact| {
        contact.log(RDKafkaLogLevel::Emerg, "FATAL", "fenced");
        contact.error(KafkaError::Global(RDKafkaErrorCode::FencedInstanceId), "fenced");
        contact.log(RDKafkaLogLevel::Warning, "MAXPOLL", "leaving group");
        contact.error(KafkaError::Global(RDKafkaErrorCode::TopicAuthorizationFailed), "no");
    });
    assert_eq!(levels, [Level::WARN; 2]);
}
