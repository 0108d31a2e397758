//! What a process needs for its part in messaging, from the flags that all processes share.

use std::time::{Duration, SystemTime};

use messaging::consumer::Handled;

use crate::{
    Common, PostgresOptions,
    tracer::{self, FinishedSpan, Kind},
};

/// How long topics keep their records. Postgres is the truth; topics are for replaying.
const TOPIC_RETENTION: Duration = Duration::from_hours(7 * 24);
/// How long published outbox rows are kept.
const OUTBOX_RETENTION: Duration = Duration::from_hours(2);

impl Common {
    /// For a service that reads and writes these topics.
    pub fn messaging(
        &self,
        service: &'static str,
        database_url: &str,
        topics: &[&str],
    ) -> messaging::Options {
        messaging::Options {
            service,
            instance: self.instance.clone(),
            database_url: database_url.to_owned(),
            kafka: messaging::Kafka {
                brokers: self.kafka.clone(),
                namespace: self.namespace.clone(),
                partition_count: self.partitions,
                replica_count: -1,
                retention: TOPIC_RETENTION,
            },
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            inbox_horizon: self.inbox_horizon(),
            outbox_retention: OUTBOX_RETENTION,
            observe: Some(trace_handled),
        }
    }

    /// How long it is known what was answered to a message.
    pub fn inbox_horizon(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.inbox_days))
    }

    /// For this process's pool.
    pub fn postgres(&self, url: &str, max_connections: u32) -> PostgresOptions {
        let allow_unsafe = self.allow_unsafe_postgres;
        PostgresOptions { url: url.to_owned(), max_connections, allow_unsafe }
    }
}

/// One span for each record, under whoever sent it.
fn trace_handled(service: &'static str, handled: &Handled<'_>) {
    if !tracer::enabled() {
        return;
    }
    let Handled { record, started_at, finished_at } = handled;
    let Ok(envelope) = &record.envelope else { return };
    let mut attributes = vec![
        ("messaging.system", "kafka".to_owned()),
        ("messaging.destination.name", record.topic.to_string()),
        ("messaging.destination.partition.id", record.partition.to_string()),
        ("messaging.kafka.offset", record.offset.to_string()),
        ("messaging.message.id", envelope.id.to_string()),
        ("messaging.message.type", envelope.kind.clone()),
    ];
    if let Some(saga) = &envelope.saga {
        attributes.push(("messaging.message.conversation_id", saga.saga_id.to_string()));
        attributes.push(("saga.step", saga.step.clone()));
        attributes.push(("saga.direction", saga.direction.to_string()));
    }
    tracer::export(FinishedSpan {
        service,
        trace_id: envelope.trace.trace_id,
        span_id: messaging::message::span_id(envelope.id),
        parent_span_id: Some(envelope.trace.parent_id),
        name: format!("process {}", record.topic),
        kind: Kind::Consumer,
        started_at: SystemTime::from(*started_at),
        finished_at: SystemTime::from(*finished_at),
        error: None,
        attributes,
    });
}
