//! What can be ordered, and how much of it there is.

use proto::inventory::{Item, ListItemsRequest, RestockRequest};
use uuid::Uuid;

use crate::{
    clients::{Clients, Inventory},
    failure::Failure,
    output::{Format, lines, table},
    pages, units,
};

/// Stock: list, restock
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every item with its price and stock
    #[command(after_help = "Examples:\n  saga stock list\n  saga stock list -o jsonl")]
    List,
    Restock(RestockArgs),
}

/// Bring in more of an item
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga stock restock SKU-9 10
  saga stock restock SKU-9 10 --request-id delivery-4711     done once, however often it is sent")]
pub(crate) struct RestockArgs {
    sku: String,
    /// Pieces that arrived
    #[arg(value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    quantity: i64,
    /// Makes sending it again harmless [default: a new one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

pub(crate) async fn run(
    command: Command,
    clients: &Clients,
    format: Format,
) -> Result<(), Failure> {
    let inventory = clients.inventory()?;
    match command {
        Command::List => format.list(&all(&inventory).await?, as_table),
        Command::Restock(RestockArgs { sku, quantity, request_id }) => {
            let request_id = request_id.unwrap_or_else(|| Uuid::now_v7().to_string());
            let item = restock(&inventory, sku, quantity, request_id).await?;
            format.one(&item, |item| as_table(std::slice::from_ref(item)))
        }
    }
}

/// Every item, by SKU.
pub(crate) async fn all(inventory: &Inventory) -> Result<Vec<Item>, Failure> {
    pages::all(async |page_size, page_token| {
        let request = ListItemsRequest { page_size, page_token };
        let page = inventory.ask(request, async |mut api, request| api.list_items(request).await);
        page.await.map(|page| (page.items, page.next_page_token))
    })
    .await
}

/// Brings in more of an item, once for each request id.
pub(crate) async fn restock(
    inventory: &Inventory,
    sku: String,
    quantity: i64,
    request_id: String,
) -> Result<Item, Failure> {
    let request = RestockRequest { sku, quantity, request_id };
    let restocked =
        inventory.ask(request, async |mut api, request| api.restock(request).await).await?;
    Ok(restocked.item.unwrap_or_default())
}

fn as_table(items: &[Item]) -> String {
    let mut table = table(&["SKU", "NAME", "PRICE", "AVAILABLE", "RESERVED", "COMMITTED"]);
    for item in items {
        table.add_row([
            item.sku.clone(),
            item.name.clone(),
            units::money(item.price.as_ref()),
            units::count(item.available),
            units::count(item.reserved),
            units::count(item.committed),
        ]);
    }
    lines(&table)
}
