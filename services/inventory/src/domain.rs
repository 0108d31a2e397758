//! What may happen to stock: it is set aside for an order, given back, or leaves the house. Pure.

use std::collections::{BTreeMap, HashMap};

use proto::{
    InventoryCommands, SKU_LENGTH_MAX,
    inventory::{
        CommitStock, ReleaseStock, ReserveStock, StockCommitted, StockLine, StockReleased,
        StockReserved,
    },
};
use saga_contract::{Decision, Settled};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Items and reservations that a batch of commands is about.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) reservations: HashMap<Uuid, Reservation>,
    /// What should have been impossible. Nothing of the batch is saved then, and the command that
    /// is to blame becomes a dead letter: a person must look.
    pub(crate) impossible: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) stored: Pieces,
    pub(crate) now: Pieces,
}

/// How many pieces of an item are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub(crate) available: i64,
    pub(crate) reserved: i64,
    pub(crate) committed: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) lines: Vec<Line>,
    /// Absent when it is new.
    pub(crate) stored: Option<Status>,
    pub(crate) now: Status,
}

/// Each SKU of an order once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Reserved,
    Released,
    Committed,
}

impl InventoryCommands for Stock {
    fn reserve_stock(&mut self, command: ReserveStock) -> Decision<StockReserved> {
        match self.reserve(command) {
            Ok(()) => Decision::Done(StockReserved {}),
            Err(reason) => Decision::Refused(reason),
        }
    }

    fn release_stock(&mut self, command: ReleaseStock) -> Settled<StockReleased> {
        // Nothing can be held under what is not an order id.
        let held = order_id(&command.order_id).and_then(|id| self.reservations.get_mut(&id));
        match held {
            Some(reservation) if reservation.now == Status::Reserved => {
                reservation.now = Status::Released;
                for_held(&mut self.items, &reservation.lines, |item, quantity| {
                    item.reserved -= quantity;
                    item.available += quantity;
                });
            }
            Some(reservation) if reservation.now == Status::Committed => {
                return self.impossible(format!(
                    "the stock of order {} left the house: it cannot be given back",
                    command.order_id
                ));
            }
            Some(_) | None => {}
        }
        Settled::Done(StockReleased {})
    }

    fn commit_stock(&mut self, command: CommitStock) -> Settled<StockCommitted> {
        let held = order_id(&command.order_id).and_then(|id| self.reservations.get_mut(&id));
        match held {
            Some(reservation) if reservation.now == Status::Reserved => {
                reservation.now = Status::Committed;
                for_held(&mut self.items, &reservation.lines, |item, quantity| {
                    item.reserved -= quantity;
                    item.committed += quantity;
                });
                Settled::Done(StockCommitted {})
            }
            Some(reservation) if reservation.now == Status::Committed => {
                Settled::Done(StockCommitted {})
            }
            Some(_) => self.impossible(format!(
                "the stock of order {} was given back: it cannot leave the house",
                command.order_id
            )),
            None => self.impossible(format!(
                "no stock is set aside for order '{}': none can leave the house",
                shown(&command.order_id)
            )),
        }
    }
}

impl Stock {
    fn reserve(&mut self, command: ReserveStock) -> Result<(), String> {
        let Some(order_id) = order_id(&command.order_id) else {
            return Err(format!("'{}' is not an order id", shown(&command.order_id)));
        };
        let lines = merged(command.lines)?;
        if let Some(reservation) = self.reservations.get(&order_id) {
            return reservation.answer_again(&lines);
        }
        for Line { sku, quantity } in &lines {
            let Some(item) = self.items.get(sku) else {
                return Err(format!("there is no item {}", shown(sku)));
            };
            match item.now.available {
                left if left >= i64::from(*quantity) => {}
                0 => return Err(format!("nothing of {sku} is left, {quantity} wanted")),
                left => return Err(format!("only {left} of {sku} left, {quantity} wanted")),
            }
        }
        for_held(&mut self.items, &lines, |item, quantity| {
            item.available -= quantity;
            item.reserved += quantity;
        });
        let reservation = Reservation { lines, stored: None, now: Status::Reserved };
        self.reservations.insert(order_id, reservation);
        Ok(())
    }

    /// The answer is given up with the batch: it is never sent.
    fn impossible<R>(&mut self, what: String) -> Settled<R> {
        self.impossible.get_or_insert(what);
        Settled::Deferred
    }
}

impl Reservation {
    fn answer_again(&self, lines: &[Line]) -> Result<(), String> {
        match self.now {
            Status::Released => Err("the stock of this order was given back already".to_owned()),
            Status::Reserved | Status::Committed if self.lines == lines => Ok(()),
            Status::Reserved | Status::Committed => {
                Err("other stock is set aside for this order already".to_owned())
            }
        }
    }
}

/// Each item that lines are about, with the quantity. An item is never deleted.
fn for_held(items: &mut BTreeMap<String, Item>, lines: &[Line], change: impl Fn(&mut Pieces, i64)) {
    for Line { sku, quantity } in lines {
        if let Some(item) = items.get_mut(sku) {
            change(&mut item.now, i64::from(*quantity));
        }
    }
}

fn merged(lines: Vec<StockLine>) -> Result<Vec<Line>, String> {
    let mut merged: BTreeMap<String, u32> = BTreeMap::new();
    for StockLine { sku, quantity } in lines {
        if quantity == 0 {
            return Err(format!("0 of {} wanted: the quantity must be positive", shown(&sku)));
        }
        let Some(sum) = merged.get(&sku).copied().unwrap_or(0).checked_add(quantity) else {
            return Err(format!("more of {} wanted than there can be", shown(&sku)));
        };
        merged.insert(sku, sum);
    }
    if merged.is_empty() {
        return Err("nothing is wanted: the order has no lines".to_owned());
    }
    Ok(merged.into_iter().map(|(sku, quantity)| Line { sku, quantity }).collect())
}

/// In the one spelling that orders are keyed by.
pub(crate) fn order_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text).then_some(id)
}

/// As much of a foreign text as a reason should repeat.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(SKU_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests;
