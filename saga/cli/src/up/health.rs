//! Whether a service takes requests, by the health protocol of gRPC; whether a server answers.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use tonic::Request;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{clients::channel, failure::is_refused_connection};

/// What a service says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    Serving,
    /// It is there, but takes no requests.
    NotServing,
    /// It does not answer, and why.
    Down(String),
}

pub(super) async fn check(address: &str) -> Health {
    let Ok(channel) = channel(address) else { return Health::Down("no address".to_owned()) };
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(PATIENCE);
    let mut client = HealthClient::new(channel);
    match tokio::time::timeout(PATIENCE, client.check(request)).await {
        Ok(Ok(response)) if response.get_ref().status() == ServingStatus::Serving => {
            Health::Serving
        }
        Ok(Ok(_)) => Health::NotServing,
        Ok(Err(status)) if is_refused_connection(&status) => {
            Health::Down("nothing listens there".to_owned())
        }
        Ok(Err(status)) => Health::Down(status.message().to_owned()),
        Err(_) => Health::Down("no answer in time".to_owned()),
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

/// "May this be TLS?", which a Postgres answers before it asks who wants to know.
pub(super) const ASK_POSTGRES: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
/// ApiVersions, version 0, from a client without a name: every Kafka answers it.
pub(super) const ASK_KAFKA: &[u8] = b"\0\0\0\x0a\0\x12\0\0\0\0\0\0\xff\xff";

/// Asks the server at these addresses, with commas between; one that answers is enough. A process that
/// hangs still has a port that takes connections.
///
/// # Errors
/// Why the last of them does not answer.
pub(super) async fn answers(addresses: &str, question: &[u8]) -> Result<(), String> {
    let mut last = "no address".to_owned();
    for address in addresses.split(',') {
        last = match tokio::time::timeout(PATIENCE, ask(address.trim(), question)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "nothing listens there".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
    }
    Err(last)
}

async fn ask(address: &str, question: &[u8]) -> io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(question).await?;
    connection.read_u8().await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_takes_connections_and_says_nothing_is_down() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(answers(&address, ASK_KAFKA).await.is_err());

        let answering = tokio::spawn(async move {
            // The first one is the connection from before.
            for _ in 0..2 {
                let (mut connection, _) = listener.accept().await.unwrap();
                connection.write_all(b"N").await.ok();
            }
        });
        assert_eq!(answers(&format!("{address}, 127.0.0.1:1"), ASK_POSTGRES).await, Ok(()));
        answering.await.unwrap();
        assert!(answers(&address, ASK_POSTGRES).await.is_err());
    }
}
