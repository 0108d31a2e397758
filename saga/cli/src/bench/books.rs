//! The books: what the three services say about orders, stock and money, and whether it agrees.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proto::{
    inventory::{SummarizeStockRequest, SummarizeStockResponse},
    order::{OrderStatus, OrderSummary, SummarizeOrdersRequest},
    payment::{PaymentStatus, PaymentSummary, SummarizePaymentsRequest},
};

use super::ledger::Counts;
use crate::{clients::Clients, failure::Failure, output::talk, units};

/// All that the three services have booked, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) orders: Vec<OrderSummary>,
    pub(crate) stock: SummarizeStockResponse,
    pub(crate) payments: Vec<PaymentSummary>,
}

/// What was booked between two times.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    pub(crate) orders_confirmed: i64,
    pub(crate) orders_cancelled: i64,
    pub(crate) payments_captured: i64,
    pub(crate) pieces_confirmed: i64,
    pub(crate) pieces_committed: i64,
    /// By currency.
    pub(crate) confirmed_minor_units: BTreeMap<String, i64>,
    pub(crate) captured_minor_units: BTreeMap<String, i64>,
}

impl Books {
    pub(crate) async fn read(clients: &Clients) -> Result<Self, Failure> {
        let (orders, inventory, payments) =
            (clients.orders()?, clients.inventory()?, clients.payments()?);
        let (orders, stock, payments) = tokio::try_join!(
            orders.ask(SummarizeOrdersRequest::default(), async |mut api, request| {
                api.summarize_orders(request).await
            }),
            inventory.ask(SummarizeStockRequest {}, async |mut api, request| {
                api.summarize_stock(request).await
            }),
            payments.ask(SummarizePaymentsRequest {}, async |mut api, request| {
                api.summarize_payments(request).await
            }),
        )?;
        Ok(Self { orders: orders.summaries, stock, payments: payments.summaries })
    }

    /// Read again for a while as long as something is still under way: a saga has ended when the
    /// coordinator knows, which is after the services have booked, but other orders may go on.
    pub(super) async fn read_settled(
        clients: &Clients,
        before: &Self,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let asked_at = Instant::now();
        let mut told = false;
        let mut books = Self::read(clients).await?;
        while asked_at.elapsed() < patience {
            let open = left_open(before, &books);
            if open.is_empty() {
                break;
            }
            if asked_at.elapsed() > QUIET_MAX && !std::mem::replace(&mut told, true) {
                talk(&format!("waiting for what others have under way: {}", open.join(", ")));
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
            books = Self::read(clients).await?;
        }
        Ok(books)
    }

    pub(crate) fn since(&self, before: &Self) -> Difference {
        let orders = |status| self.order_count(status) - before.order_count(status);
        let confirmed = |books: &Self| books.order_money(OrderStatus::Confirmed);
        let captured = |books: &Self| books.payment_money(PaymentStatus::Captured);
        Difference {
            orders_confirmed: orders(OrderStatus::Confirmed),
            orders_cancelled: orders(OrderStatus::Cancelled),
            payments_captured: self.payment_count(PaymentStatus::Captured)
                - before.payment_count(PaymentStatus::Captured),
            pieces_confirmed: self.confirmed_pieces() - before.confirmed_pieces(),
            pieces_committed: self.stock.committed - before.stock.committed,
            confirmed_minor_units: difference(&confirmed(self), &confirmed(before)),
            captured_minor_units: difference(&captured(self), &captured(before)),
        }
    }

    fn order_count(&self, status: OrderStatus) -> i64 {
        let of_status = self.orders.iter().filter(|summary| summary.status() == status);
        of_status.map(|summary| summary.order_count).sum()
    }

    fn confirmed_pieces(&self) -> i64 {
        let confirmed = |summary: &&OrderSummary| summary.status() == OrderStatus::Confirmed;
        self.orders.iter().filter(confirmed).map(|summary| summary.piece_count).sum()
    }

    fn order_money(&self, status: OrderStatus) -> BTreeMap<String, i64> {
        let of_status = self.orders.iter().filter(|summary| summary.status() == status);
        by_currency(of_status.map(|summary| (&summary.currency, summary.total_minor_units)))
    }

    fn payment_count(&self, status: PaymentStatus) -> i64 {
        let of_status = self.payments.iter().filter(|summary| summary.status() == status);
        of_status.map(|summary| summary.payment_count).sum()
    }

    pub(crate) fn payment_money(&self, status: PaymentStatus) -> BTreeMap<String, i64> {
        let of_status = self.payments.iter().filter(|summary| summary.status() == status);
        by_currency(of_status.map(|summary| (&summary.currency, summary.total_minor_units)))
    }
}

const QUIET_MAX: Duration = Duration::from_secs(1);
const SETTLE_PAUSE: Duration = Duration::from_millis(250);

/// What does not agree after a load, each in a sentence; nothing when the books balance.
pub(super) fn imbalances(before: &Books, after: &Books, seen: Counts) -> Vec<String> {
    let since = after.since(before);
    let mut wrong = money(&since);
    let mut differ = |what: &str, left: i64, right: i64| {
        if left != right {
            wrong.push(format!("{what}: {} and {}", units::count(left), units::count(right)));
        }
    };
    differ(
        "orders confirmed and payments captured",
        since.orders_confirmed,
        since.payments_captured,
    );
    differ("pieces confirmed and pieces committed", since.pieces_confirmed, since.pieces_committed);
    let stock = &after.stock;
    let in_parts = stock.available + stock.reserved + stock.committed;
    differ("pieces brought in and pieces there or gone", stock.stocked, in_parts);
    differ("pieces set aside and pieces in reservations", stock.reserved, stock.reserved_by_orders);
    wrong.extend(left_open(before, after));
    wrong.extend(lost(&since, seen));
    wrong
}

fn money(since: &Difference) -> Vec<String> {
    let (confirmed, captured) = (&since.confirmed_minor_units, &since.captured_minor_units);
    difference(confirmed, captured)
        .into_iter()
        .filter(|(_, difference)| *difference != 0)
        .map(|(currency, _)| {
            let of = |money: &BTreeMap<String, i64>| {
                units::amount(money.get(&currency).copied().unwrap_or_default(), &currency)
            };
            format!(
                "money of orders confirmed and money captured: {} and {}",
                of(confirmed),
                of(captured)
            )
        })
        .collect()
}

/// More than was open before is open now.
fn left_open(before: &Books, after: &Books) -> Vec<String> {
    let orders = |books: &Books, status| books.order_count(status);
    let payments = |books: &Books, status| books.payment_count(status);
    let left = [
        (
            "orders pending",
            orders(before, OrderStatus::Pending),
            orders(after, OrderStatus::Pending),
        ),
        (
            "orders being cancelled",
            orders(before, OrderStatus::Cancelling),
            orders(after, OrderStatus::Cancelling),
        ),
        (
            "payments pending",
            payments(before, PaymentStatus::Pending),
            payments(after, PaymentStatus::Pending),
        ),
        (
            "payments held and not taken",
            payments(before, PaymentStatus::Authorized),
            payments(after, PaymentStatus::Authorized),
        ),
        ("pieces set aside", before.stock.reserved, after.stock.reserved),
    ];
    left.into_iter()
        .filter(|(_, before, after)| after > before)
        .map(|(what, before, after)| {
            format!("{what}: {} left, {} before", units::count(after), units::count(before))
        })
        .collect()
}

/// What was acknowledged must be there. There may be more: requests whose answer was lost, and
/// other clients.
fn lost(since: &Difference, seen: Counts) -> Vec<String> {
    let decided = since.orders_confirmed + since.orders_cancelled;
    let acknowledged = i64::try_from(seen.acknowledged).unwrap_or(i64::MAX);
    if decided < acknowledged {
        let (decided, acknowledged) = (units::count(decided), units::count(acknowledged));
        vec![format!("orders taken and orders decided: {acknowledged} and only {decided}")]
    } else {
        Vec::new()
    }
}

fn by_currency<'a>(amounts: impl Iterator<Item = (&'a String, i64)>) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for (currency, amount) in amounts {
        *sums.entry(currency.clone()).or_default() += amount;
    }
    sums
}

fn difference(
    left: &BTreeMap<String, i64>,
    right: &BTreeMap<String, i64>,
) -> BTreeMap<String, i64> {
    let mut differences = left.clone();
    for (currency, amount) in right {
        *differences.entry(currency.clone()).or_default() -= amount;
    }
    differences
}

#[cfg(test)]
mod tests;
