//! Orders as the order service knows them: submit, show, list, cancel, watch.

mod file;
mod list;
mod submit;

use proto::order::{CancelOrderRequest, GetOrderRequest, Order, OrderStatus, WatchOrderRequest};

use crate::{
    clients::{Clients, Orders, Sagas},
    failure::Failure,
    output::{Format, Tone, lines, paint, table},
    sagas, units,
};
pub(crate) use submit::place;

/// Orders: submit, show, list, cancel, watch
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Submit(submit::Args),
    Show(ShowArgs),
    List(list::Args),
    Cancel(CancelArgs),
    Watch(WatchArgs),
}

/// One order as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  saga order show ORDER-ID\n  saga order show ORDER-ID -o json")]
pub(crate) struct ShowArgs {
    #[arg(value_name = "ORDER-ID")]
    id: String,
}

/// Ask to cancel an order that is still pending
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  saga order cancel ORDER-ID --reason 'changed my mind'")]
pub(crate) struct CancelArgs {
    #[arg(value_name = "ORDER-ID")]
    id: String,
    /// Why, for the customer to read later
    #[arg(long, default_value = "the customer cancelled")]
    reason: String,
}

/// One order as it changes, until it is confirmed or cancelled
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga order watch ORDER-ID
  saga order watch ORDER-ID -o jsonl | jq .status

Exits with 7 when the order is cancelled, or its saga is stuck.")]
pub(crate) struct WatchArgs {
    #[arg(value_name = "ORDER-ID")]
    id: String,
}

pub(crate) async fn run(
    command: Command,
    clients: &Clients,
    format: Format,
) -> Result<(), Failure> {
    match command {
        Command::Submit(args) => submit::run(args, clients, format).await,
        Command::List(args) => list::run(args, clients, format).await,
        Command::Show(ShowArgs { id }) => {
            let order = get(&clients.orders()?, id).await?;
            format.one(&order, as_text)
        }
        Command::Cancel(CancelArgs { id, reason }) => {
            let request = CancelOrderRequest { order_id: id, reason };
            let answer = clients
                .orders()?
                .ask(request, async |mut api, request| api.cancel_order(request).await)
                .await?;
            format.one(&answer.order.unwrap_or_default(), as_text)
        }
        Command::Watch(WatchArgs { id }) => {
            let tell = |order: &Order| format.event(order, as_line);
            let decided =
                watch_unless_stuck(&clients.orders()?, &clients.sagas()?, id, tell).await?;
            check_confirmed(u32::from(decided.status() == OrderStatus::Cancelled), 1)
        }
    }
}

pub(crate) async fn get(orders: &Orders, order_id: String) -> Result<Order, Failure> {
    let request = GetOrderRequest { order_id };
    let found = orders.ask(request, async |mut api, request| api.get_order(request).await).await?;
    Ok(found.order.unwrap_or_default())
}

/// Tells each change until the order is decided; gives its last state.
pub(crate) async fn watch(
    orders: &Orders,
    order_id: String,
    mut tell: impl FnMut(&Order) -> Result<(), Failure>,
) -> Result<Order, Failure> {
    let request = WatchOrderRequest { order_id };
    let mut changes =
        orders.stream(request, async |mut api, request| api.watch_order(request).await).await?;
    let mut last = Order::default();
    while let Some(change) = changes.message().await.map_err(|status| orders.failure(&status))? {
        last = change.order.unwrap_or_default();
        tell(&last)?;
    }
    Ok(last)
}

/// As [`watch`]; the order itself does not tell that its saga is stuck.
async fn watch_unless_stuck(
    orders: &Orders,
    sagas: &Sagas,
    order_id: String,
    tell: impl FnMut(&Order) -> Result<(), Failure>,
) -> Result<Order, Failure> {
    let followed = order_id.clone();
    tokio::select! {
        decided = watch(orders, order_id, tell) => decided,
        failure = sagas::until_stuck(sagas, &followed) => Err(failure),
    }
}

/// Who watches an order wants it confirmed.
fn check_confirmed(cancelled: u32, total: u32) -> Result<(), Failure> {
    match (cancelled, total) {
        (0, _) => Ok(()),
        (_, 1) => Err(Failure::check("the order was cancelled")),
        _ => Err(Failure::check(format!("{cancelled} of {total} orders were cancelled"))),
    }
}

/// The word and colour of an order's status.
pub(crate) fn status(status: OrderStatus) -> (Tone, &'static str) {
    match status {
        OrderStatus::Unspecified => (Tone::Plain, "unknown"),
        OrderStatus::Pending => (Tone::Plain, "pending"),
        OrderStatus::Cancelling => (Tone::Back, "cancelling"),
        OrderStatus::Confirmed => (Tone::Good, "confirmed"),
        OrderStatus::Cancelled => (Tone::Back, "cancelled"),
    }
}

fn as_line(order: &Order) -> String {
    let (tone, status) = status(order.status());
    let reason = if order.reason.is_empty() { "" } else { "  " };
    format!(
        "{}  {}  {}{reason}{}",
        order.order_id,
        paint(tone, &format!("{status:<10}")),
        units::money(order.total.as_ref()),
        paint(Tone::Dim, &order.reason),
    )
}

fn as_text(order: &Order) -> String {
    let (tone, status) = status(order.status());
    let mut text = format!(
        "order {}  {}\n  total   {}, paid with {}\n  placed  {} UTC",
        paint(Tone::Strong, &order.order_id),
        paint(tone, status),
        units::money(order.total.as_ref()),
        order.payment_method,
        units::date(order.placed_at.as_ref()),
    );
    if let Some(took) = units::between(order.placed_at.as_ref(), order.decided_at.as_ref()) {
        text.push_str(&format!(", decided {} later", units::brief(took)));
    }
    for (name, value) in [("for     ", &order.customer_id), ("because ", &order.reason)] {
        if !value.is_empty() {
            text.push_str(&format!("\n  {name}{value}"));
        }
    }
    let mut table = table(&["SKU", "QUANTITY", "UNIT PRICE"]);
    for line in &order.lines {
        table.add_row([
            line.sku.clone(),
            units::count(line.quantity),
            units::money(line.unit_price.as_ref()),
        ]);
    }
    format!("{text}\n\n{}", lines(&table))
}
