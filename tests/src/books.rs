//! What the three services' own tables say about stock and money, and whether it agrees.

use proto::{
    inventory::{SummarizeStockRequest, SummarizeStockResponse},
    order::{OrderStatus, OrderSummary, SummarizeOrdersRequest},
    payment::{PaymentStatus, PaymentSummary, SummarizePaymentsRequest},
};

use crate::{Shop, customer::carefully};

#[derive(Debug, Clone, PartialEq)]
pub struct Books {
    pub orders: Vec<OrderSummary>,
    pub stock: SummarizeStockResponse,
    pub payments: Vec<PaymentSummary>,
}

impl Books {
    pub(crate) async fn read(shop: &Shop) -> Self {
        let request = SummarizeOrdersRequest { placed_after: None };
        let (mut orders, mut stock) = (shop.orders().await, shop.inventory().await);
        let mut payments = shop.payments().await;
        let orders = carefully(async || orders.summarize_orders(request).await).await;
        let stock = carefully(async || stock.summarize_stock(SummarizeStockRequest {}).await).await;
        let payments =
            carefully(async || payments.summarize_payments(SummarizePaymentsRequest {}).await);
        Books { orders: orders.summaries, stock, payments: payments.await.summaries }
    }

    pub fn order_count(&self, status: OrderStatus) -> i64 {
        let of = |summary: &&OrderSummary| summary.status() == status;
        self.orders.iter().filter(of).map(|summary| summary.order_count).sum()
    }

    pub fn money(&self, status: PaymentStatus) -> i64 {
        let of = |summary: &&PaymentSummary| summary.status() == status;
        self.payments.iter().filter(of).map(|summary| summary.total_minor_units).sum()
    }

    /// Once every saga has ended: what is confirmed is paid and has left the house, nothing is held
    /// any more, and no piece was lost or made up.
    #[track_caller]
    pub fn balance(&self) {
        let confirmed = |summary: &&OrderSummary| summary.status() == OrderStatus::Confirmed;
        let owed: i64 =
            self.orders.iter().filter(confirmed).map(|summary| summary.total_minor_units).sum();
        let sold: i64 =
            self.orders.iter().filter(confirmed).map(|summary| summary.piece_count).sum();
        assert_eq!(self.order_count(OrderStatus::Pending), 0, "pending orders: {self:?}");
        assert_eq!(self.order_count(OrderStatus::Cancelling), 0, "cancelling orders: {self:?}");
        assert_eq!(self.money(PaymentStatus::Captured), owed, "money taken: {self:?}");
        assert_eq!(self.money(PaymentStatus::Authorized), 0, "money held: {self:?}");
        assert_eq!(self.money(PaymentStatus::Pending), 0, "money asked for: {self:?}");
        assert_eq!(self.stock.committed, sold, "pieces that left: {self:?}");
        assert_eq!(self.stock.reserved, 0, "pieces set aside: {self:?}");
        assert_eq!(self.stock.reserved_by_orders, 0, "pieces set aside: {self:?}");
        let pieces = self.stock.available + self.stock.reserved + self.stock.committed;
        assert_eq!(pieces, self.stock.stocked, "pieces there are: {self:?}");
    }
}
