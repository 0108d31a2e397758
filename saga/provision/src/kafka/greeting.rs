//! The first words to a new broker, so that the first consumer group need not wait: asking for a
//! group's coordinator makes the broker create its topic of offsets, which takes seconds.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Error;

const PATIENCE: Duration = Duration::from_secs(10);
const FIND_COORDINATOR: i16 = 10;
const VERSION: i16 = 1;
const GROUP: &str = "saga-provision";
const KIND_GROUP: u8 = 0;

/// Any answer will do, "not yet" as well: the topic is in the making.
pub(crate) async fn ask_for_a_coordinator(port: u16) -> Result<(), Error> {
    let doing = || format!("greeting Kafka on port {port}");
    let talk = async {
        let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        broker.write_all(&request()).await?;
        let length = broker.read_u32().await?;
        tokio::io::copy(&mut broker.take(length.into()), &mut tokio::io::sink()).await
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(answered) => answered.map(drop).map_err(Error::io(doing())),
        Err(_) => Err(Error::ToolHangs { tool: doing(), patience: PATIENCE }),
    }
}

/// Length, then api, version, correlation id, client id; then the group and that it is one.
fn request() -> Vec<u8> {
    let correlation_id = 1_i32;
    let mut body = Vec::new();
    body.extend(FIND_COORDINATOR.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(correlation_id.to_be_bytes());
    for text in [GROUP, GROUP] {
        body.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        body.extend(text.as_bytes());
    }
    body.push(KIND_GROUP);
    let length = u32::try_from(body.len()).unwrap_or_default();
    [length.to_be_bytes().to_vec(), body].concat()
}
