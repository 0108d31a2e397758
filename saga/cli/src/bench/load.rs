//! Sends the orders: on time, or as many as there are places for.

use std::{sync::Arc, time::Duration};

use proto::order::{OrderLine, PlaceOrderRequest, order_service_client::OrderServiceClient};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, transport::Channel};
use uuid::Uuid;

use super::ledger::Ledger;
use crate::{
    clients::{self, Clients},
    failure::{self, Failure},
};

/// What decides when the next order is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// The clock: so many a second.
    Rate(u32),
    /// A free place among the open orders.
    Saturating,
}

/// What is sent, and until when.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) pace: Pace,
    pub(super) ends_at: Instant,
    pub(super) decline: f64,
    /// Most orders that are sent and have not ended.
    pub(super) open_max: usize,
    /// Items in turn, one piece each.
    pub(super) skus: Vec<String>,
}

/// Sends until the time is over or somebody stops it; returns when every request is answered.
pub(super) async fn run(
    load: Load,
    connections: u32,
    clients: &Clients,
    ledger: &Arc<Ledger>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let address = &clients.addresses().order;
    let channels: Result<Vec<Channel>, _> =
        (0..connections).map(|_| clients::channel(address)).collect();
    let channels = channels?;
    let places = Arc::new(Semaphore::new(load.open_max));
    let unanswered_max = match load.pace {
        Pace::Rate(_) => Semaphore::MAX_PERMITS,
        Pace::Saturating => UNANSWERED_MAX,
    };
    let unanswered = Arc::new(Semaphore::new(unanswered_max));
    let requests = TaskTracker::new();
    let begun_at = Instant::now();

    for (number, channel) in (0_u64..).zip(channels.iter().cycle()) {
        let due_at = match load.pace {
            Pace::Rate(rate) => begun_at + Duration::from_secs_f64(number as f64 / f64::from(rate)),
            Pace::Saturating => Instant::now(),
        };
        let permits = tokio::select! {
            permits = permits_at(due_at, &places, &unanswered) => permits,
            () = tokio::time::sleep_until(load.ends_at) => break,
            () = stop.cancelled() => break,
        };
        let Some((place, asking)) = permits else { break };
        let intended_at = match load.pace {
            Pace::Rate(_) => due_at,
            Pace::Saturating => Instant::now(),
        };
        if intended_at >= load.ends_at {
            break;
        }
        let order = load.order(number);
        let client = OrderServiceClient::new(channel.clone());
        let sent = send(order, client, intended_at, place, Arc::clone(ledger));
        requests.spawn(async move {
            sent.await;
            drop(asking);
        });
    }
    requests.close();
    requests.wait().await;
    Ok(())
}

/// Requests without an answer while saturating: more would be turned away when all begin at once.
const UNANSWERED_MAX: usize = 1_000;

async fn permits_at(
    due_at: Instant,
    places: &Arc<Semaphore>,
    unanswered: &Arc<Semaphore>,
) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
    // A timer takes a millisecond even when the time has come.
    if due_at > Instant::now() {
        tokio::time::sleep_until(due_at).await;
    }
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    Some((place, Arc::clone(unanswered).acquire_owned().await.ok()?))
}

async fn send(
    order: PlaceOrderRequest,
    mut client: OrderServiceClient<Channel>,
    intended_at: Instant,
    place: OwnedSemaphorePermit,
    ledger: Arc<Ledger>,
) {
    ledger.sent(intended_at);
    let mut request = Request::new(order);
    request.set_timeout(REQUEST_TIMEOUT);
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, client.place_order(request)).await;
    let taken = match answered {
        Ok(Ok(response)) => response.into_inner().order.unwrap_or_default(),
        Ok(Err(status)) => return ledger.failed(failure::code(&status), intended_at),
        Err(_) => return ledger.failed(tonic::Code::DeadlineExceeded, intended_at),
    };
    match taken.order_id.parse::<Uuid>() {
        Ok(id) => ledger.acknowledged(id, intended_at, place),
        Err(_) => ledger.failed(tonic::Code::DataLoss, intended_at),
    }
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Load {
    fn order(&self, number: u64) -> PlaceOrderRequest {
        let index = usize::try_from(number).unwrap_or_default() % self.skus.len().max(1);
        let sku = self.skus.get(index).cloned().unwrap_or_default();
        let payment_method = if is_declined(number, self.decline) { DECLINED } else { OK };
        PlaceOrderRequest {
            request_id: Uuid::now_v7().to_string(),
            lines: vec![OrderLine { sku, quantity: 1 }],
            payment_method: payment_method.to_owned(),
            customer_id: CUSTOMER.to_owned(),
            ..PlaceOrderRequest::default()
        }
    }
}

/// Spread evenly: whenever the sum of the shares passes the next whole number.
fn is_declined(number: u64, share: f64) -> bool {
    let declined_before = |number: u64| (number as f64 * share).floor();
    declined_before(number + 1) > declined_before(number)
}

const OK: &str = "tok_ok";
const DECLINED: &str = "tok_declined";
const CUSTOMER: &str = "bench";

#[cfg(test)]
mod tests {
    use super::is_declined;

    #[test]
    fn declined_cards_are_spread_evenly() {
        let declined = |share| (0..1_000).filter(|number| is_declined(*number, share)).count();
        assert_eq!(declined(0.0), 0);
        assert_eq!(declined(0.05), 50);
        assert_eq!(declined(1.0), 1_000);
        assert_eq!((0..20).filter(|number| is_declined(*number, 0.05)).count(), 1);
    }
}
