//! Which orders there are.

use proto::order::{ListOrdersRequest, Order, OrderStatus};

use crate::{
    clients::Clients,
    failure::Failure,
    output::{Format, lines, table},
    pages, units,
};

/// Orders, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga order list --limit 10
  saga order list --status pending --status cancelling
  saga order list --customer ada -o jsonl")]
pub(crate) struct Args {
    /// Only in this status
    #[arg(long, value_name = "STATUS")]
    status: Vec<Status>,
    /// Only of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    Pending,
    Cancelling,
    Confirmed,
    Cancelled,
}

impl From<Status> for OrderStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Cancelling => Self::Cancelling,
            Status::Confirmed => Self::Confirmed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

pub(super) async fn run(args: Args, clients: &Clients, format: Format) -> Result<(), Failure> {
    let orders = clients.orders()?;
    let request = ListOrdersRequest {
        statuses: args.status.into_iter().map(|status| OrderStatus::from(status).into()).collect(),
        customer_id: args.customer.unwrap_or_default(),
        ..ListOrdersRequest::default()
    };
    let listed = pages::up_to(args.limit, async |page_size, page_token| {
        let request = ListOrdersRequest { page_size, page_token, ..request.clone() };
        let page = orders.ask(request, async |mut api, request| api.list_orders(request).await);
        page.await.map(|page| (page.orders, page.next_page_token))
    });
    format.list(&listed.await?, as_table)
}

fn as_table(orders: &[Order]) -> String {
    let headings = ["ORDER", "STATUS", "LINES", "TOTAL", "PLACED (UTC)", "TOOK", "REASON"];
    let mut table = table(&headings);
    for order in orders {
        let took = units::between(order.placed_at.as_ref(), order.decided_at.as_ref());
        let goods: Vec<_> =
            order.lines.iter().map(|line| format!("{}={}", line.sku, line.quantity)).collect();
        let goods = match goods.as_slice() {
            [first, _, _, _, ..] => format!("{first} and {} more", goods.len() - 1),
            few => few.join(" "),
        };
        table.add_row([
            order.order_id.clone(),
            super::status(order.status()).1.to_owned(),
            goods,
            units::money(order.total.as_ref()),
            units::date(order.placed_at.as_ref()),
            took.map_or_else(|| "-".to_owned(), units::brief),
            order.reason.clone(),
        ]);
    }
    lines(&table)
}
