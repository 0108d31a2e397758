//! Records as they are on the wire: sent by hand, header by header, and read back.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use messaging::{Envelope, message::Outcome};
use prost::Name;
use proto::inventory::ReserveStock;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Header, Headers, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use saga_contract::Command;
use uuid::Uuid;

use crate::world::PATIENCE;

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    pub topic: String,
    pub key: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub payload: Vec<u8>,
}

impl Letter {
    pub fn envelope(&self) -> Envelope {
        let key = std::str::from_utf8(&self.key).unwrap();
        Envelope::from_headers(key, &owned(&self.headers)).unwrap()
    }

    pub fn outcome(&self) -> Outcome {
        self.envelope().outcome.unwrap()
    }

    pub fn attempt(&self) -> u32 {
        self.envelope().saga.unwrap().attempt
    }

    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// With another value in that header, or without it.
    pub fn with(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.to_vec())));
        self
    }
}

/// An order's saga, as its coordinator sees it.
#[derive(Debug, Clone)]
pub struct Saga {
    pub id: Uuid,
    pub order_id: String,
}

impl Saga {
    pub fn new() -> Self {
        Saga { id: Uuid::now_v7(), order_id: Uuid::now_v7().to_string() }
    }

    pub fn reserve(&self, attempt: u32, sku: &str) -> Letter {
        let line = proto::inventory::StockLine { sku: sku.to_owned(), quantity: 1 };
        let command = ReserveStock { order_id: self.order_id.clone(), lines: vec![line] };
        self.asks(&command, "reserve-stock", "invoke", attempt)
    }

    pub fn release(&self, attempt: u32) -> Letter {
        let command = proto::inventory::ReleaseStock { order_id: self.order_id.clone() };
        self.asks(&command, "reserve-stock", "compensate", attempt)
    }

    pub fn asks<C: Command>(
        &self,
        command: &C,
        step: &str,
        direction: &str,
        attempt: u32,
    ) -> Letter {
        let mut letter = plain(C::TOPIC, &self.order_id, command);
        for (name, value) in [
            ("saga_id", self.id.to_string().as_str()),
            ("saga_definition", "place-order"),
            ("saga_step", step),
            ("saga_direction", direction),
            ("saga_attempt", &attempt.to_string()),
        ] {
            letter = letter.with(name, Some(value.as_bytes()));
        }
        letter
    }
}

/// A message with the headers that every message has.
pub fn plain<M: Name>(topic: &str, key: &str, message: &M) -> Letter {
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &Uuid::now_v7().to_string()),
        ("ce_type", &M::full_name()),
        ("ce_source", "test"),
        ("ce_time", "2026-11-21T12:00:00Z"),
        ("ce_subject", key),
        ("content-type", "application/protobuf"),
        ("traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
    Letter {
        topic: topic.to_owned(),
        key: key.as_bytes().to_vec(),
        headers: headers.map(owned).to_vec(),
        payload: message.encode_to_vec(),
    }
}

/// Sends and reads.
pub struct Post {
    brokers: String,
    namespace: String,
    producer: Arc<BaseProducer>,
}

impl Post {
    pub fn new(kafka: &messaging::Kafka) -> Self {
        let messaging::Kafka { brokers, namespace, .. } = kafka.clone();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .create();
        Post { brokers, namespace, producer: Arc::new(producer.unwrap()) }
    }

    pub async fn send(&self, letter: &Letter) {
        self.send_all(std::slice::from_ref(letter)).await;
    }

    /// Returns when they are in the topic.
    pub async fn send_all(&self, letters: &[Letter]) {
        let (producer, namespace) = (Arc::clone(&self.producer), self.namespace.clone());
        let letters = letters.to_vec();
        let sent = tokio::task::spawn_blocking(move || {
            for letter in &letters {
                let topic = format!("{namespace}{}", letter.topic);
                let record = BaseRecord::to(&topic)
                    .key(&letter.key)
                    .payload(&letter.payload)
                    .headers(owned(&letter.headers));
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
        });
        sent.await.unwrap();
    }

    /// The replies that `service` gave to a saga, in order; waits for that many.
    pub async fn replies(&self, service: &str, saga: &Saga, count: usize) -> Vec<Letter> {
        let (service, key) = (service.to_owned(), saga.order_id.clone());
        self.read("saga.replies.v1", count, move |letter| {
            letter.key == key.as_bytes() && letter.header("ce_source") == Some(service.as_bytes())
        })
        .await
    }

    /// What the topic has of these, in order; waits for that many.
    pub async fn read(
        &self,
        topic: &str,
        count: usize,
        wanted: impl Fn(&Letter) -> bool + Send + 'static,
    ) -> Vec<Letter> {
        let (brokers, topic) = (self.brokers.clone(), format!("{}{topic}", self.namespace));
        let read = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            let began = Instant::now();
            let consumer = from_the_beginning(&brokers, &topic);
            while found.len() < count {
                assert!(began.elapsed() < PATIENCE, "{topic}: {count} wanted, there is {found:?}");
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    found.extend(Some(letter(&message)).filter(&wanted));
                }
            }
            found
        });
        read.await.unwrap()
    }
}

fn from_the_beginning(brokers: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "post")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "20")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in 0..4 {
        partitions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    consumer
}

fn letter(message: &rdkafka::message::BorrowedMessage<'_>) -> Letter {
    let headers = message.headers().map(|headers| {
        let owned = |header: Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(owned).collect()
    });
    Letter {
        topic: message.topic().to_owned(),
        key: message.key().unwrap_or_default().to_vec(),
        headers: headers.unwrap_or_default(),
        payload: message.payload().unwrap_or_default().to_vec(),
    }
}

fn owned(headers: &[(String, Vec<u8>)]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    })
}

/// How often each letter is there.
pub fn counted<T: std::hash::Hash + Eq>(things: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for thing in things {
        *counts.entry(thing).or_default() += 1;
    }
    counts
}
