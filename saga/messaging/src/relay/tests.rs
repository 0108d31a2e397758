use std::time::Duration;

use super::config;
use crate::Kafka;

/// A record that is sent again, given up, or acknowledged by too few leaves its key out of order.
#[test]
fn the_order_of_each_key_is_kept() {
    let (brokers, retention) = ("127.0.0.1:9092".to_owned(), Duration::from_secs(1));
    let namespace = String::new();
    let kafka = Kafka { brokers, namespace, partition_count: 4, replica_count: 1, retention };
    let config = config(&kafka, "test");
    assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("1"));
    assert_eq!(config.get("acks"), Some("all"));
    assert_eq!(config.get("message.timeout.ms"), Some("0"));
}
