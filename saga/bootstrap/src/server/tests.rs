use futures::StreamExt;
use tokio::net::TcpStream;

use super::{bind, incoming};

#[tokio::test]
async fn what_is_sent_does_not_wait_for_more() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = incoming(listener);
    let (accepted, client) = tokio::join!(incoming.next(), TcpStream::connect(address));
    client.unwrap();
    assert!(accepted.unwrap().unwrap().nodelay().unwrap());
}
