use std::time::Duration;

use super::Kafka;

/// A small message must not wait for the acknowledgement of the one before it.
#[test]
fn sockets_to_the_broker_do_not_delay() {
    let (brokers, retention) = ("127.0.0.1:9092".to_owned(), Duration::from_secs(1));
    let namespace = String::new();
    let kafka = Kafka { brokers, namespace, partition_count: 4, replica_count: 1, retention };
    assert_eq!(kafka.client("test").get("socket.nagle.disable"), Some("true"));
}
