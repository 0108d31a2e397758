//! What people change: which items are listed at what price, and how many pieces have arrived. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proto::{inventory::ItemListed, shop::Money};

/// Items and restocks that a batch of changes is about.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) restocks: HashMap<String, Restock>,
    /// SKUs that were not there before.
    pub(crate) new_items: BTreeSet<String>,
    pub(crate) changed_items: BTreeSet<String>,
    pub(crate) new_restocks: BTreeSet<String>,
    /// What all should be told.
    pub(crate) to_publish: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) price_minor: i64,
    pub(crate) currency: String,
    pub(crate) revision: i64,
    pub(crate) available: i64,
    pub(crate) reserved: i64,
    pub(crate) committed: i64,
    pub(crate) stocked: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Put {
        sku: String,
        name: String,
        price_minor: i64,
        currency: String,
    },
    Restock {
        request_id: String,
        restock: Restock,
    },
    /// Tells all again what is listed.
    Announce {
        sku: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restock {
    pub(crate) sku: String,
    pub(crate) quantity: i64,
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotChanged {
    NoSuchItem,
    RequestIdReused,
    /// More pieces than can be counted.
    TooMany,
}

impl Catalog {
    /// The item as it is after the change.
    pub(crate) fn make(&mut self, change: Change) -> Result<Item, NotChanged> {
        match change {
            Change::Put { sku, name, price_minor, currency } => {
                Ok(self.put(sku, name, price_minor, currency))
            }
            Change::Restock { request_id, restock } => self.restock(request_id, restock),
            Change::Announce { sku } => {
                let item = self.items.get(&sku).cloned().ok_or(NotChanged::NoSuchItem)?;
                self.to_publish.insert(sku);
                Ok(item)
            }
        }
    }

    fn put(&mut self, sku: String, name: String, price_minor: i64, currency: String) -> Item {
        let item = match self.items.get_mut(&sku) {
            Some(item)
                if (&item.name, item.price_minor, &item.currency)
                    == (&name, price_minor, &currency) =>
            {
                return item.clone();
            }
            Some(item) => {
                let revision = item.revision + 1;
                *item = Item { name, price_minor, currency, revision, ..item.clone() };
                item.clone()
            }
            None => {
                let item = Item::listed(sku.clone(), name, price_minor, currency);
                self.new_items.insert(sku.clone());
                self.items.insert(sku.clone(), item.clone());
                item
            }
        };
        self.changed_items.insert(sku.clone());
        self.to_publish.insert(sku);
        item
    }

    fn restock(&mut self, request_id: String, restock: Restock) -> Result<Item, NotChanged> {
        let item = self.items.get_mut(&restock.sku);
        match self.restocks.get(&request_id) {
            Some(earlier) if *earlier == restock => {
                return item.cloned().ok_or(NotChanged::NoSuchItem);
            }
            Some(_) => return Err(NotChanged::RequestIdReused),
            None => {}
        }
        let item = item.ok_or(NotChanged::NoSuchItem)?;
        // The other three never exceed what was stocked.
        item.stocked = item.stocked.checked_add(restock.quantity).ok_or(NotChanged::TooMany)?;
        item.available += restock.quantity;
        let item = item.clone();
        self.changed_items.insert(restock.sku.clone());
        self.new_restocks.insert(request_id.clone());
        self.restocks.insert(request_id, restock);
        Ok(item)
    }
}

impl Item {
    fn listed(sku: String, name: String, price_minor: i64, currency: String) -> Self {
        let (available, reserved, committed, stocked) = (0, 0, 0, 0);
        let revision = 1;
        Item { sku, name, price_minor, currency, revision, available, reserved, committed, stocked }
    }

    pub(crate) fn to_event(&self) -> ItemListed {
        ItemListed {
            sku: self.sku.clone(),
            name: self.name.clone(),
            price: Some(self.price()),
            revision: self.revision,
        }
    }

    pub(crate) fn price(&self) -> Money {
        Money { minor_units: self.price_minor, currency: self.currency.clone() }
    }
}

#[cfg(test)]
mod tests;
