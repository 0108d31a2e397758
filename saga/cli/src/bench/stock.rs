//! Sees to it that the goods last for the whole load.

use proto::inventory::Item;
use uuid::Uuid;

use crate::{
    advice::here,
    clients::Inventory,
    failure::Failure,
    output::talk,
    stock::{all, restock},
    units,
};

/// The items to order, each with more than its share of the orders in stock.
pub(super) async fn prepare(inventory: &Inventory, orders: u64) -> Result<Vec<String>, Failure> {
    let items = all(inventory).await?;
    let chosen: Vec<Item> = items.into_iter().filter(|item| item.price.is_some()).collect();
    let chosen: Vec<Item> = chosen.into_iter().take(ITEMS_MAX).collect();
    if chosen.is_empty() {
        let next = format!("put one on sale; {} brings a demo catalogue", here("up"));
        return Err(Failure::new("the catalogue is empty: there is nothing to order").next(next));
    }
    let share = i64::try_from(orders / chosen.len() as u64 + 1).unwrap_or(i64::MAX);
    let needed = share.saturating_add(share / 10).min(RESTOCK_MAX);
    let mut pieces = 0;
    for item in chosen.iter().filter(|item| item.available < needed) {
        let missing = needed - item.available;
        restock(inventory, item.sku.clone(), missing, Uuid::now_v7().to_string()).await?;
        pieces += missing;
    }
    if pieces > 0 {
        talk(&format!("restocked {} pieces, so that none runs out", units::count(pieces)));
    }
    Ok(chosen.into_iter().map(|item| item.sku).collect())
}

/// The demo catalogue but its last item, of which there is to be only one.
const ITEMS_MAX: usize = 8;
const RESTOCK_MAX: i64 = 1_000_000_000;
