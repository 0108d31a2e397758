//! Who places orders, as a careful client does: the same request again until it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::order::{self, order_service_client::OrderServiceClient};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{PATIENCE, PAUSE};

/// An order to place.
#[derive(Debug, Clone)]
pub struct Order {
    request: order::PlaceOrderRequest,
}

impl Order {
    pub fn of(sku: &str, quantity: u32) -> Self {
        let line = order::OrderLine { sku: sku.to_owned(), quantity };
        Order {
            request: order::PlaceOrderRequest {
                request_id: Uuid::now_v7().to_string(),
                lines: vec![line],
                payment_method: OK.to_owned(),
                customer_id: String::new(),
                currency: String::new(),
            },
        }
    }

    pub fn paid_with(mut self, token: &str) -> Self {
        self.request.payment_method = token.to_owned();
        self
    }
}

/// An order that was acknowledged.
#[derive(Debug, Clone)]
pub struct Placed {
    pub order_id: String,
    /// Whether its card is good.
    pub is_payable: bool,
}

const OK: &str = "tok_ok";

/// Knows where the order service is, even while it is away.
#[derive(Debug, Clone)]
pub struct Customer {
    orders_port: u16,
}

impl Customer {
    pub(crate) fn at(orders_port: u16) -> Self {
        Customer { orders_port }
    }

    pub async fn place(&self, order: Order) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut orders = OrderServiceClient::new(connect(self.orders_port).await);
            match orders.place_order(order.request.clone()).await {
                Ok(placed) => return placed.into_inner().order.expect("an order").order_id,
                Err(status) if Instant::now() < deadline && is_passing(&status) => {
                    sleep(PAUSE).await;
                }
                Err(status) => panic!("not placed: {status:?}"),
            }
        }
    }

    /// Every third one has its card declined.
    pub async fn place_many(&self, count: usize) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(count);
        for number in 0..count {
            placed.push(self.place_nth(number).await);
        }
        placed
    }

    async fn place_nth(&self, number: usize) -> Placed {
        let is_payable = !number.is_multiple_of(3);
        let token = if is_payable { OK } else { "tok_declined" };
        let order = Order::of(&format!("SKU-{}", 1 + number % 8), 1).paid_with(token);
        Placed { order_id: self.place(order).await, is_payable }
    }
}

/// Customers who place one order after the other, until it is ended.
#[derive(Debug)]
pub struct Wave {
    over: Arc<AtomicBool>,
    placed: watch::Receiver<Vec<Placed>>,
    customers: JoinSet<()>,
}

impl Wave {
    pub(crate) fn begin(customer: &Customer) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (tell, placed) = watch::channel(Vec::new());
        let mut customers = JoinSet::new();
        for first in 0..CUSTOMERS {
            let (customer, over, tell) = (customer.clone(), Arc::clone(&over), tell.clone());
            customers.spawn(async move {
                for number in first.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let placed = customer.place_nth(number).await;
                    tell.send_modify(|all| all.push(placed));
                    sleep(CUSTOMER_PAUSE).await;
                }
            });
        }
        Wave { over, placed, customers }
    }

    /// Waits for so many more orders than there are now.
    pub async fn goes_on_for(&mut self, count: usize) {
        let wanted = self.placed.borrow().len() + count;
        let placed = timeout(PATIENCE, self.placed.wait_for(|placed| placed.len() >= wanted)).await;
        placed.expect("no order is taken any more").expect("customers");
    }

    /// All that was placed.
    pub async fn end(mut self) -> Vec<Placed> {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.customers.join_next().await {
            ended.expect("a customer");
        }
        self.placed.borrow().clone()
    }
}

/// Between two orders of one customer: what is placed has to be looked after, too.
const CUSTOMER_PAUSE: Duration = Duration::from_millis(50);
/// Who order at the same time.
const CUSTOMERS: usize = 4;

/// A connection, once somebody listens there.
pub(crate) async fn connect(port: u16) -> Channel {
    let endpoint = Channel::from_shared(format!("http://127.0.0.1:{port}")).expect("an address");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(error) if Instant::now() > deadline => panic!("port {port}: {error}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// What is answered in the end, to whoever asks again while that is worth it.
pub(crate) async fn carefully<T>(
    mut ask: impl AsyncFnMut() -> Result<tonic::Response<T>, tonic::Status>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) if Instant::now() < deadline && is_passing(&status) => sleep(PAUSE).await,
            Err(status) => panic!("no answer: {status:?}"),
        }
    }
}

/// Whether the same request may be sent again.
fn is_passing(status: &tonic::Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
    )
}
