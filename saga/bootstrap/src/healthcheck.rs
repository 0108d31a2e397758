//! Asks a process over plain HTTP whether it serves, so that its container needs no other program
//! for that.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};

/// Succeeds if the process that listens at `listen`, on this machine, serves.
pub(crate) fn check(listen: SocketAddr) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let status = ask(address).with_context(|| format!("nobody answers at {address}"))?;
    if status.split_whitespace().nth(1) != Some(OK) {
        bail!("not serving: {address} answers '{}'", status.trim_end());
    }
    Ok(())
}

/// "Every address" can be listened at, but not asked.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => listen,
    }
}

/// The first line of the answer, such as `HTTP/1.1 200 OK`.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;

    let mut status = String::new();
    BufReader::new(stream.take(STATUS_BYTES)).read_line(&mut status)?;
    Ok(status)
}

const OK: &str = "200";
/// For each of connecting, asking and being answered.
const TIMEOUT: Duration = Duration::from_secs(1);
const STATUS_BYTES: u64 = 256;

#[cfg(test)]
mod tests;
