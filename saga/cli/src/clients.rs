//! Connections to the four services, made when first used, with a deadline on every call.

use std::time::Duration;

use proto::{
    inventory::inventory_service_client::InventoryServiceClient,
    order::order_service_client::OrderServiceClient,
    payment::payment_service_client::PaymentServiceClient,
    saga::saga_service_client::SagaServiceClient,
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    args::{Global, Place},
    failure::Failure,
    up,
};

pub(crate) type Sagas = Service<SagaServiceClient<Channel>>;
pub(crate) type Orders = Service<OrderServiceClient<Channel>>;
pub(crate) type Inventory = Service<InventoryServiceClient<Channel>>;
pub(crate) type Payments = Service<PaymentServiceClient<Channel>>;

/// Where the four services listen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Addresses {
    pub(crate) coordinator: String,
    pub(crate) order: String,
    pub(crate) inventory: String,
    pub(crate) payment: String,
}

impl Addresses {
    /// Four ports in a row on this machine.
    pub(crate) fn from_port_base(port_base: u16) -> Self {
        let at = |offset| format!("127.0.0.1:{}", u32::from(port_base) + offset);
        Self { coordinator: at(0), order: at(1), inventory: at(2), payment: at(3) }
    }

    /// Where the Postgres and the Kafka of such a system listen: behind the four. 0 is any port.
    pub(crate) fn server_ports(&self) -> (u16, u16) {
        let last = self.payment.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let after = |offset| last.and_then(|last| last.checked_add(offset)).unwrap_or_default();
        (after(1), after(2))
    }

    /// Each service with the name that people know it by.
    pub(crate) fn named(&self) -> [(&'static str, &str); 4] {
        [
            (COORDINATOR, &self.coordinator),
            (ORDER, &self.order),
            (INVENTORY, &self.inventory),
            (PAYMENT, &self.payment),
        ]
    }

    /// The ports that the flag says, over those of the system on the data folder, over the usual ones.
    pub(crate) fn in_a_row(place: &Place, known: impl FnOnce() -> Option<Self>) -> Self {
        match place.port_base {
            Some(port_base) => Self::from_port_base(port_base),
            None => known().unwrap_or_else(|| Self::from_port_base(DEFAULT_PORT_BASE)),
        }
    }

    /// As [`Addresses::in_a_row`], but for the services that have a flag of their own.
    fn of(place: &Place, known: impl FnOnce() -> Option<Self>) -> Self {
        let base = Self::in_a_row(place, known);
        Self {
            coordinator: place.coordinator.clone().unwrap_or(base.coordinator),
            order: place.order.clone().unwrap_or(base.order),
            inventory: place.inventory.clone().unwrap_or(base.inventory),
            payment: place.payment.clone().unwrap_or(base.payment),
        }
    }
}

const DEFAULT_PORT_BASE: u16 = 7_100;
const COORDINATOR: &str = "coordinator";
const ORDER: &str = "order service";
const INVENTORY: &str = "inventory service";
const PAYMENT: &str = "payment service";

/// The system as a client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    addresses: Addresses,
    timeout: Duration,
}

impl Clients {
    pub(crate) fn new(global: &Global) -> Self {
        let known = || up::known_addresses(&global.data_dir);
        Self::at(Addresses::of(&global.place, known), global.timeout)
    }

    pub(crate) fn at(addresses: Addresses, timeout: Duration) -> Self {
        Self { addresses, timeout }
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn sagas(&self) -> Result<Sagas, Failure> {
        self.service(COORDINATOR, &self.addresses.coordinator, SagaServiceClient::new)
    }

    pub(crate) fn orders(&self) -> Result<Orders, Failure> {
        self.service(ORDER, &self.addresses.order, OrderServiceClient::new)
    }

    pub(crate) fn inventory(&self) -> Result<Inventory, Failure> {
        self.service(INVENTORY, &self.addresses.inventory, InventoryServiceClient::new)
    }

    pub(crate) fn payments(&self) -> Result<Payments, Failure> {
        self.service(PAYMENT, &self.addresses.payment, PaymentServiceClient::new)
    }

    fn service<C>(
        &self,
        name: &'static str,
        address: &str,
        client: impl FnOnce(Channel) -> C,
    ) -> Result<Service<C>, Failure> {
        let client = client(channel(address)?);
        Ok(Service { client, name, address: address.to_owned(), timeout: self.timeout })
    }
}

/// A connection that is made when first used.
pub(crate) fn channel(address: &str) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
        Failure::usage(format!("'{address}' is no address")).why(error.to_string())
    })?;
    Ok(endpoint.tcp_nodelay(true).connect_timeout(CONNECT_TIMEOUT).connect_lazy())
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One service: its client, and what to call it when it says no.
#[derive(Debug, Clone)]
pub(crate) struct Service<C> {
    client: C,
    name: &'static str,
    address: String,
    timeout: Duration,
}

impl<C: Clone> Service<C> {
    /// Asks once; `rpc` is given a client of its own and the request with its deadline.
    pub(crate) async fn ask<T, R>(
        &self,
        message: T,
        rpc: impl AsyncFnOnce(C, Request<T>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.try_ask(message, rpc).await.map_err(|status| self.failure(&status))
    }

    /// As [`Service::ask`], for callers that do something about a no.
    pub(crate) async fn try_ask<T, R>(
        &self,
        message: T,
        rpc: impl AsyncFnOnce(C, Request<T>) -> Result<Response<R>, Status>,
    ) -> Result<R, Status> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        // The server may be unable to keep the deadline it was told.
        match tokio::time::timeout(self.timeout + GRACE, rpc(self.client.clone(), request)).await {
            Ok(answered) => answered.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }

    /// Opens a stream, which has no deadline.
    pub(crate) async fn stream<T, R>(
        &self,
        message: T,
        rpc: impl AsyncFnOnce(C, Request<T>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let opened = rpc(self.client.clone(), Request::new(message)).await;
        opened.map(Response::into_inner).map_err(|status| self.failure(&status))
    }

    pub(crate) fn failure(&self, status: &Status) -> Failure {
        Failure::from_status(status, self.name, &self.address)
    }
}

const GRACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
