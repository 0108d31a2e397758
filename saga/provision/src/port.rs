//! Ports for servers that do not care which one they get.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// Below the ports that systems give to outgoing connections: a client that keeps trying to reach a
/// server that is down would otherwise connect to itself one day and hold the port.
const FROM: u16 = 15_000;
const TO: u16 = 32_000;

/// A port of 127.0.0.1 nobody listens on now; the search begins at a random one, so that processes
/// that start together do not meet.
pub fn free() -> Result<u16, Error> {
    let span = TO - FROM;
    let start = u16::try_from(random() % u64::from(span)).unwrap_or_default();
    (0..span)
        .map(|step| FROM + (start + step) % span)
        .find(|port| is_free(*port))
        .ok_or(Error::NoFreePort { from: FROM, to: TO })
}

/// The wanted port, or any free one for 0.
pub(crate) fn wanted_or_free(server: &'static str, wanted: u16) -> Result<u16, Error> {
    match wanted {
        0 => free(),
        port if is_free(port) => Ok(port),
        port => Err(Error::PortTaken { server, port }),
    }
}

/// Enough to tell processes and throw-away things apart; no secret.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
