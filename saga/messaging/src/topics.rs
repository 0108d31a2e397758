//! Topics are made on purpose, with a known number of partitions; the broker makes none by itself.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::{FromClientConfig, FromClientConfigAndContext},
    error::RDKafkaErrorCode,
};
use tracing::{info, warn};

use crate::{
    Error, Kafka, contact::Contact, dead_letter, message::REPLIES, outbox::RECORD_LIMIT,
    trouble::Trouble,
};

const CLIENT: &str = "topics";
const PATIENCE: Duration = Duration::from_secs(10);
const METADATA_PATIENCE: Duration = Duration::from_secs(5);
/// How far apart to try a broker that does not answer yet.
const PAUSE: Duration = Duration::from_millis(500);
/// How often, and how far apart, to ask whether a new topic is known.
const KNOWN_TRIES: u32 = 50;
const KNOWN_PAUSE: Duration = Duration::from_millis(50);

/// The given topics, replies, and the dead letters of all of them.
pub fn with_dead_letters(topics: &[String]) -> Vec<String> {
    let replies = REPLIES.to_owned();
    let alive: BTreeSet<&String> = topics.iter().chain([&replies]).collect();
    alive.into_iter().flat_map(|topic| [topic.clone(), dead_letter::topic(topic)]).collect()
}

/// Makes the topics that are missing; waits for the broker. Fails when one has another number of
/// partitions: keys would not be where they were.
pub async fn ensure(kafka: &Kafka, names: &[String]) -> Result<(), Error> {
    let brokers = &kafka.brokers;
    let mut trouble = Trouble::default();
    loop {
        match try_ensure(kafka, names).await {
            Err(failure @ Error::Kafka(_)) => {
                if let Some(error) = trouble.news(&failure) {
                    warn!(brokers, error, "Kafka does not answer, starting when it does");
                }
                tokio::time::sleep(PAUSE).await;
            }
            made => {
                if trouble.is_over() {
                    info!(brokers, "Kafka answers");
                }
                return made;
            }
        }
    }
}

/// As [`ensure`], when the broker answers now.
pub(crate) async fn try_ensure(kafka: &Kafka, names: &[String]) -> Result<(), Error> {
    let known = partition_counts(kafka).await?;
    let mut missing = Vec::new();
    let names: Vec<String> =
        names.iter().map(|name| format!("{}{name}", kafka.namespace)).collect();
    for name in &names {
        let known = known.iter().find(|(topic, _)| topic == name);
        match known {
            None => missing.push(name),
            // With none it is being made by somebody else right now.
            Some((_, count)) if *count == kafka.partition_count || *count == 0 => {}
            Some((_, count)) => return Err(wrong_count(name, *count, kafka.partition_count)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let retention = kafka.retention.as_millis().to_string();
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|name| {
            let replicas = TopicReplication::Fixed(kafka.replica_count);
            NewTopic::new(name, kafka.partition_count, replicas)
                .set("retention.ms", &retention)
                .set("max.message.bytes", RECORD_LIMIT)
        })
        .collect();
    let admin = AdminClient::from_config_and_context(&kafka.client(CLIENT), Contact::of(CLIENT))?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in admin.create_topics(&topics, &options).await? {
        match made {
            Ok(topic) => info!(topic, partitions = kafka.partition_count, "topic made"),
            // Another process was quicker.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                return Err(Error::Topic(format!("topic {topic} cannot be made: {error}")));
            }
        }
    }
    until_known(kafka, &missing).await
}

/// Brokers answer that a topic is made a moment before they know it.
async fn until_known(kafka: &Kafka, names: &[&String]) -> Result<(), Error> {
    for _ in 0..KNOWN_TRIES {
        let known = partition_counts(kafka).await?;
        let is_known =
            |name: &&String| known.iter().any(|(topic, count)| topic == *name && *count > 0);
        if names.iter().all(is_known) {
            return Ok(());
        }
        tokio::time::sleep(KNOWN_PAUSE).await;
    }
    // Whoever listens to them meets them later, and says so until then.
    Ok(())
}

/// Of every topic the brokers have. Asking is a blocking call.
async fn partition_counts(kafka: &Kafka) -> Result<Vec<(String, i32)>, Error> {
    let config = kafka.client(CLIENT);
    let asked = tokio::task::spawn_blocking(move || {
        let client = rdkafka::consumer::BaseConsumer::from_config(&config)?;
        let metadata =
            rdkafka::consumer::Consumer::fetch_metadata(&client, None, METADATA_PATIENCE)?;
        let count = |topic: &rdkafka::metadata::MetadataTopic| {
            (topic.name().to_owned(), topic.partitions().len() as i32)
        };
        Ok(metadata.topics().iter().map(count).collect())
    });
    asked.await.unwrap_or_else(|error| Err(Error::Panicked(error.to_string())))
}

fn wrong_count(topic: &str, has: i32, wanted: i32) -> Error {
    Error::Topic(format!(
        "topic {topic} has {has} partitions, this process is configured for {wanted}: keys would \
         not be where they were. Start with --partitions {has}, or delete the topic if nothing in \
         it is needed any more"
    ))
}
