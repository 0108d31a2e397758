//! Records as they are on the wire: sent by hand, header by header, and read back.

use std::{
    collections::{HashMap, HashSet},
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
pub(crate) struct Letter {
    pub(crate) topic: String,
    pub(crate) key: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

impl Letter {
    pub(crate) fn envelope(&self) -> Envelope {
        let key = std::str::from_utf8(&self.key).unwrap();
        let mut headers = messaging::message::Headers::default();
        self.headers.iter().for_each(|(name, value)| headers.add(name, value));
        Envelope::from_headers(key, &headers).unwrap()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.envelope().outcome.unwrap()
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.envelope().saga.unwrap().attempt
    }

    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// With another value in that header, or without it.
    pub(crate) fn with(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.to_vec())));
        self
    }

    /// With another value of a field in the header `saga`, or without that field.
    pub(crate) fn about(self, field: &str, value: Option<serde_json::Value>) -> Self {
        let mut about: serde_json::Map<_, _> =
            serde_json::from_slice(self.header("saga").unwrap()).unwrap();
        about.remove(field);
        about.extend(value.map(|value| (field.to_owned(), value)));
        self.with("saga", Some(&serde_json::to_vec(&about).unwrap()))
    }
}

/// An order's saga, as its coordinator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Saga {
    pub(crate) id: Uuid,
    pub(crate) order_id: String,
}

impl Saga {
    pub(crate) fn new() -> Self {
        Saga { id: Uuid::now_v7(), order_id: Uuid::now_v7().to_string() }
    }

    pub(crate) fn reserve(&self, attempt: u32, sku: &str) -> Letter {
        let line = proto::inventory::StockLine { sku: sku.to_owned(), quantity: 1 };
        let command = ReserveStock { order_id: self.order_id.clone(), lines: vec![line] };
        self.asks(&command, "reserve-stock", "invoke", attempt)
    }

    pub(crate) fn release(&self, attempt: u32) -> Letter {
        let command = proto::inventory::ReleaseStock { order_id: self.order_id.clone() };
        self.asks(&command, "reserve-stock", "compensate", attempt)
    }

    pub(crate) fn asks<C: Command>(
        &self,
        command: &C,
        step: &str,
        direction: &str,
        attempt: u32,
    ) -> Letter {
        let about = serde_json::json!({
            "id": self.id, "definition": "place-order",
            "step": step, "direction": direction, "attempt": attempt,
        });
        plain(C::TOPIC, &self.order_id, command).with("saga", Some(about.to_string().as_bytes()))
    }
}

/// A message with the headers that every message has.
pub(crate) fn plain<M: Name>(topic: &str, key: &str, message: &M) -> Letter {
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
pub(crate) struct Post {
    brokers: String,
    namespace: String,
    producer: Arc<BaseProducer>,
}

impl Post {
    pub(crate) fn new(kafka: &messaging::Kafka) -> Self {
        let messaging::Kafka { brokers, namespace, .. } = kafka.clone();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "2097152")
            .create();
        Post { brokers, namespace, producer: Arc::new(producer.unwrap()) }
    }

    pub(crate) async fn send(&self, letter: &Letter) {
        self.send_all(std::slice::from_ref(letter)).await;
    }

    /// Returns when they are in the topic.
    pub(crate) async fn send_all(&self, letters: &[Letter]) {
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

    /// The replies to a saga, in order; waits for that many.
    pub(crate) async fn replies(&self, saga: &Saga, count: usize) -> Vec<Letter> {
        let key = saga.order_id.clone().into_bytes();
        self.read("saga.replies.v1", count, move |letter| letter.key == key).await
    }

    /// The replies to each of the sagas, in their order; waits for at least one to each.
    pub(crate) async fn replies_to_all(&self, sagas: &[Saga]) -> Vec<Vec<Letter>> {
        let keys: HashSet<Vec<u8>> =
            sagas.iter().map(|saga| saga.order_id.clone().into_bytes()).collect();
        let (mut missing, wanted) = (keys.clone(), keys);
        let all = self.read_until("saga.replies.v1", move |letters| {
            let Some(last) = letters.last() else { return false };
            missing.remove(&last.key);
            missing.is_empty()
        });
        let mut replies: HashMap<Vec<u8>, Vec<Letter>> = HashMap::new();
        for reply in all.await.into_iter().filter(|reply| wanted.contains(&reply.key)) {
            replies.entry(reply.key.clone()).or_default().push(reply);
        }
        sagas.iter().map(|saga| replies.remove(saga.order_id.as_bytes()).unwrap()).collect()
    }

    /// What the topic has of these, in order; waits for that many.
    pub(crate) async fn read(
        &self,
        topic: &str,
        count: usize,
        wanted: impl Fn(&Letter) -> bool + Send + Clone + 'static,
    ) -> Vec<Letter> {
        let (mut found, filter) = (0, wanted.clone());
        let all = self.read_until(topic, move |letters| {
            found += usize::from(letters.last().is_some_and(&wanted));
            found == count
        });
        all.await.into_iter().filter(filter).collect()
    }

    /// What the topic has up to the record with which `enough` is true; asked after each.
    pub(crate) async fn read_until(
        &self,
        topic: &str,
        mut enough: impl FnMut(&[Letter]) -> bool + Send + 'static,
    ) -> Vec<Letter> {
        let (brokers, topic) = (self.brokers.clone(), format!("{}{topic}", self.namespace));
        let read = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            let began = Instant::now();
            let consumer = from_the_beginning(&brokers, &topic);
            loop {
                assert!(began.elapsed() < PATIENCE, "{topic} has no more than {read:?}");
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    read.push(letter(&message));
                    if enough(&read) {
                        return read;
                    }
                }
            }
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
