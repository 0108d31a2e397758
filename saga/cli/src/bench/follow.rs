//! Learns which sagas have ended: from the coordinator's stream, and by asking about old orders.

use std::{sync::Arc, time::Duration};

use proto::{
    order::{GetOrderRequest, OrderStatus},
    saga::{Saga, SagaStatus, WatchSagasRequest},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::ledger::{End, Ledger};
use crate::{
    clients::{Orders, Sagas},
    failure::Failure,
    output::talk,
};

/// Returns when the stream is open: no end of an order sent after that is missed.
pub(super) async fn start(sagas: &Sagas, ledger: Arc<Ledger>) -> Result<JoinHandle<()>, Failure> {
    let request = WatchSagasRequest { ended_only: true, ..WatchSagasRequest::default() };
    let mut ends =
        sagas.stream(request, async |mut api, request| api.watch_sagas(request).await).await?;
    Ok(tokio::spawn(async move {
        let mut said = false;
        loop {
            match ends.message().await {
                Ok(Some(moved)) => {
                    if moved.moves_missed && !said {
                        talk("some ends were not told: these orders are asked about, not timed");
                        said = true;
                    }
                    ledger.told_ended(moved.sagas.iter().filter_map(end));
                }
                Ok(None) => break talk("the coordinator ended the stream: orders are asked about"),
                Err(status) => {
                    break talk(&format!("the coordinator ended the stream: {}", status.message()));
                }
            }
        }
    }))
}

fn end(saga: &Saga) -> Option<(Uuid, End)> {
    let end = match saga.status() {
        SagaStatus::Completed => End::Confirmed,
        SagaStatus::Compensated | SagaStatus::Resolved => End::Cancelled,
        SagaStatus::Unspecified
        | SagaStatus::Running
        | SagaStatus::Compensating
        | SagaStatus::Paused
        | SagaStatus::Stuck => return None,
    };
    Some((saga.key.parse().ok()?, end))
}

/// Asks the order service about orders that are open for long: their ends may have been missed.
pub(super) fn ask_about_the_old(orders: Orders, ledger: Arc<Ledger>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(ASK_INTERVAL).await;
            for id in ledger.open_for(OLD, ASK_MAX) {
                let request = GetOrderRequest { order_id: id.to_string() };
                let found = orders
                    .ask(request, async |mut api, request| api.get_order(request).await)
                    .await;
                // One that does not answer is asked again with the next round.
                let Ok(found) = found else { break };
                match found.order.map(|order| order.status()) {
                    Some(OrderStatus::Confirmed) => ledger.found_ended(id, End::Confirmed),
                    Some(OrderStatus::Cancelled) => ledger.found_ended(id, End::Cancelled),
                    Some(
                        OrderStatus::Unspecified | OrderStatus::Pending | OrderStatus::Cancelling,
                    )
                    | None => {}
                }
            }
        }
    })
}

const ASK_INTERVAL: Duration = Duration::from_secs(1);
const OLD: Duration = Duration::from_secs(10);
const ASK_MAX: usize = 500;
