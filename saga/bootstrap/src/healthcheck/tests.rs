use std::net::{Ipv4Addr, SocketAddr};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::check;
use crate::{Server, bind};

async fn answer(listen: SocketAddr) -> Result<(), String> {
    let outcome = spawn_blocking(move || check(listen)).await.unwrap();
    outcome.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn a_server_is_healthy_as_long_as_it_serves() {
    let listener = bind((Ipv4Addr::UNSPECIFIED, 0).into()).await.unwrap();
    let listen = listener.local_addr().unwrap();
    let server = Server::new("payment-service", proto::FILE_DESCRIPTOR_SET).not_ready_yet();
    let (health, shutdown) = (server.health(), CancellationToken::new());
    let serving = tokio::spawn(server.serve_on(listener, shutdown.clone()));

    let early = answer(listen).await.unwrap_err();
    assert!(early.contains("503"), "{early}");

    health.serving().await;
    assert_eq!(answer(listen).await, Ok(()));

    shutdown.cancel();
    serving.await.unwrap().unwrap();
    let gone = answer(listen).await.unwrap_err();
    assert!(gone.starts_with("nobody answers at 127.0.0.1:"), "{gone}");
}

#[tokio::test]
async fn a_process_that_hangs_is_not_healthy() {
    let silent = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let refusal = answer(silent.local_addr().unwrap()).await.unwrap_err();
    assert!(refusal.starts_with("nobody answers at"), "{refusal}");
}
