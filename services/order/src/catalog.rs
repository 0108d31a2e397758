//! What can be ordered, as the inventory tells it.

use messaging::{Error, Subscriber, Tx};
use prost::{Message, Name};
use proto::{inventory::ItemListed, shop::Money};
use saga_contract::{Event, Undecodable};

/// Hears of items and their prices. What breaks the table's checks goes to the dead letters.
pub(crate) struct CatalogFeed;

impl Subscriber for CatalogFeed {
    type Event = ItemListed;
    const TOPICS: &'static [&'static str] = &[ItemListed::TOPIC];

    fn decode(name: &str, payload: &[u8]) -> Result<Option<ItemListed>, Undecodable> {
        if name != ItemListed::full_name() {
            return Ok(None);
        }
        ItemListed::decode(payload).map(Some).map_err(|source| Undecodable::Malformed {
            name: "shop.inventory.v1.ItemListed",
            source,
        })
    }

    async fn hear(&mut self, tx: &mut Tx<'_>, events: Vec<ItemListed>) -> Result<(), Error> {
        let [mut skus, mut names, mut currencies] = [const { Vec::new() }; 3];
        let [mut prices, mut revisions] = [const { Vec::new() }; 2];
        for ItemListed { sku, name, price, revision } in events {
            let Money { minor_units, currency } = price.unwrap_or_default();
            skus.push(sku);
            names.push(name);
            prices.push(minor_units);
            currencies.push(currency);
            revisions.push(revision);
        }
        sqlx::query(
            "INSERT INTO catalog (sku, name, price_minor, currency, revision)
             SELECT DISTINCT ON (sku) sku, name, price_minor, currency, revision
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
                 AS item (sku, name, price_minor, currency, revision)
             ORDER BY sku, revision DESC
             ON CONFLICT (sku) DO UPDATE
             SET name = excluded.name, price_minor = excluded.price_minor,
                 currency = excluded.currency, revision = excluded.revision
             WHERE catalog.revision < excluded.revision",
        )
        .bind(&skus)
        .bind(&names)
        .bind(&prices)
        .bind(&currencies)
        .bind(&revisions)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
