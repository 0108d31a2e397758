//! The two orders of the demo, and the shop's numbers before and after each.

use proto::{
    inventory::Item,
    order::{Order, OrderLine, PlaceOrderRequest},
    payment::{PaymentStatus, SummarizePaymentsRequest},
    saga::GetSagaResponse,
};
use uuid::Uuid;

use crate::{
    advice::here,
    clients::Clients,
    failure::Failure,
    order::{get, place},
    sagas::follow,
    stock,
    story::Moment,
    units,
};

/// One order of the demo.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) item: Item,
    pub(super) quantity: u32,
    pub(super) payment_method: &'static str,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) order: Order,
    pub(super) story: GetSagaResponse,
}

/// One that works and one whose card is declined.
///
/// # Errors
/// When the shop has not two items in stock to order.
pub(super) async fn both(clients: &Clients) -> Result<[Scene; 2], Failure> {
    let items = stock::all(&clients.inventory()?).await?;
    let mut plenty = items.into_iter().filter(|item| item.price.is_some() && item.available > 10);
    let (Some(first), Some(second)) = (plenty.next(), plenty.next()) else {
        return Err(Failure::new("there are not two items in stock to order")
            .next(format!("bring some in with {}", here("stock restock SKU-1 100"))));
    };
    Ok([
        Scene { item: first, quantity: 2, payment_method: "tok_ok" },
        Scene { item: second, quantity: 1, payment_method: "tok_declined" },
    ])
}

impl Scene {
    /// Places the order and follows its saga to the end.
    pub(super) async fn play(
        &self,
        clients: &Clients,
        tell: impl FnMut(&Moment) -> Result<(), Failure>,
    ) -> Result<Played, Failure> {
        let orders = clients.orders()?;
        let request = PlaceOrderRequest {
            request_id: Uuid::now_v7().to_string(),
            lines: vec![OrderLine { sku: self.item.sku.clone(), quantity: self.quantity }],
            payment_method: self.payment_method.to_owned(),
            customer_id: "demo".to_owned(),
            ..PlaceOrderRequest::default()
        };
        let order_id = place(&orders, request).await?.order_id;
        let story = follow(&clients.sagas()?, &order_id, tell).await?;
        let order = get(&orders, order_id).await?;
        Ok(Played { order, story })
    }

    /// `2 × Espresso cup (SKU-1)`
    pub(super) fn goods(&self) -> String {
        format!("{} × {} ({})", self.quantity, self.item.name, self.item.sku)
    }
}

/// The shop's numbers at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Of the items of both orders: can be promised to the next one.
    pub(super) available: [i64; 2],
    /// Set aside for orders under way.
    pub(super) reserved: [i64; 2],
    /// Money taken.
    pub(super) captured: String,
    /// Money held and not taken.
    pub(super) held: String,
}

pub(super) async fn numbers(clients: &Clients, scenes: &[Scene; 2]) -> Result<Numbers, Failure> {
    let items = stock::all(&clients.inventory()?).await?;
    let of = |scene: &Scene| {
        items.iter().find(|item| item.sku == scene.item.sku).cloned().unwrap_or_default()
    };
    let items = scenes.each_ref().map(of);
    let payments = clients
        .payments()?
        .ask(SummarizePaymentsRequest {}, async |mut api, request| {
            api.summarize_payments(request).await
        })
        .await?
        .summaries;
    let currency = items.first().and_then(|item| item.price.as_ref()).map(|price| &price.currency);
    let currency = currency.cloned().unwrap_or_default();
    let money = |status: PaymentStatus| {
        let of_status = payments
            .iter()
            .filter(|summary| summary.status() == status && summary.currency == currency);
        units::amount(of_status.map(|summary| summary.total_minor_units).sum(), &currency)
    };
    Ok(Numbers {
        available: items.each_ref().map(|item| item.available),
        reserved: items.each_ref().map(|item| item.reserved),
        captured: money(PaymentStatus::Captured),
        held: money(PaymentStatus::Authorized),
    })
}
