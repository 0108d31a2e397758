use std::net::TcpListener;

use super::{PostgresOptions, postgres};

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_named_with_the_cause() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://app@{free}/order");
    let options = PostgresOptions { url, max_connections: 1, allow_unsafe: true };
    let error = format!("{:#}", postgres(&options).await.unwrap_err());
    assert!(error.contains(&format!("connecting to Postgres at {free}/order")), "{error}");
    assert!(error.contains("refused"), "{error}");
}
