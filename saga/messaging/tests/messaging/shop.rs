//! A small inventory: it does what the sku of a command tells it to, and writes down each effect.

use messaging::{Error, Participant, Subscriber, Tx, Writer, answer};
use prost::{Message, Name};
use proto::{
    InventoryCommand, InventoryCommands,
    inventory::{
        CommitStock, ItemListed, ReleaseStock, ReserveStock, StockCommitted, StockReleased,
        StockReserved,
    },
};
use saga_contract::{Answer, Decision, Settled, Undecodable};

pub(crate) const TABLES: &str = "
    CREATE TABLE effect (
        id       bigint GENERATED ALWAYS AS IDENTITY,
        order_id text NOT NULL,
        what     text NOT NULL,
        tx       text NOT NULL DEFAULT pg_current_xact_id()::text
    );
    CREATE TABLE in_stock (order_id text PRIMARY KEY);
    CREATE TABLE taken (sku text PRIMARY KEY);
    INSERT INTO taken VALUES ('taken');";

/// Panics at the sku `panics`, leaves the others' effects alone.
pub(crate) struct Inventory;

#[derive(Default)]
pub(crate) struct Stock {
    in_stock: Vec<String>,
    /// Order and what was done with it.
    effects: Vec<(String, String)>,
}

impl Participant for Inventory {
    type Command = InventoryCommand;
    type State = Stock;

    async fn load(&mut self, tx: &mut Tx<'_>, _: &[InventoryCommand]) -> Result<Stock, Error> {
        let in_stock = sqlx::query_scalar("SELECT order_id FROM in_stock");
        let in_stock = in_stock.fetch_all(&mut **tx).await?;
        Ok(Stock { in_stock, effects: Vec::new() })
    }

    fn decide(state: &mut Stock, command: InventoryCommand) -> Answer {
        command.decide(state)
    }

    async fn save(&mut self, tx: &mut Tx<'_>, state: Stock) -> Result<(), Error> {
        write_down(tx, &state.effects).await?;
        for (order_id, what) in state.effects {
            match what.as_str() {
                "reserve huge" => tx.publish(&order_id, &listed(&"x".repeat(1_000_000), 1))?,
                "reserve taken" => {
                    let take = sqlx::query("INSERT INTO taken VALUES ('taken')");
                    take.execute(&mut **tx).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl InventoryCommands for Stock {
    fn reserve_stock(&mut self, command: ReserveStock) -> Decision<StockReserved> {
        let sku = &command.lines[0].sku;
        assert_ne!(sku, "panics", "cannot count to three");
        if sku == "none" && !self.in_stock.contains(&command.order_id) {
            return Decision::Refused("there is none".to_owned());
        }
        let what = format!("reserve {sku}");
        self.effects.push((command.order_id, what));
        if sku == "later" { Decision::Deferred } else { Decision::Done(StockReserved {}) }
    }

    fn release_stock(&mut self, command: ReleaseStock) -> Settled<StockReleased> {
        self.effects.push((command.order_id, "release".to_owned()));
        Settled::Done(StockReleased {})
    }

    fn commit_stock(&mut self, command: CommitStock) -> Settled<StockCommitted> {
        self.effects.push((command.order_id, "commit".to_owned()));
        Settled::Done(StockCommitted {})
    }
}

async fn write_down(tx: &mut Tx<'_>, effects: &[(String, String)]) -> Result<(), Error> {
    let (orders, what): (Vec<&str>, Vec<&str>) =
        effects.iter().map(|(order, what)| (order.as_str(), what.as_str())).unzip();
    sqlx::query("INSERT INTO effect (order_id, what) SELECT * FROM unnest($1::text[], $2::text[])")
        .bind(orders)
        .bind(what)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(crate) fn listed(sku: &str, revision: i64) -> ItemListed {
    ItemListed { sku: sku.to_owned(), revision, ..ItemListed::default() }
}

/// Writes down what it hears.
pub(crate) struct Catalog;

impl Subscriber for Catalog {
    type Event = ItemListed;
    const TOPICS: &'static [&'static str] = &["inventory.events.v1"];

    fn decode(name: &str, payload: &[u8]) -> Result<Option<ItemListed>, Undecodable> {
        if name != ItemListed::full_name() {
            return Ok(None);
        }
        let malformed = |source| Undecodable::Malformed { name: "ItemListed", source };
        ItemListed::decode(payload).map(Some).map_err(malformed)
    }

    async fn hear(&mut self, tx: &mut Tx<'_>, events: Vec<ItemListed>) -> Result<(), Error> {
        let heard =
            events.into_iter().map(|event| (event.sku, format!("heard {}", event.revision)));
        write_down(tx, &heard.collect::<Vec<_>>()).await
    }
}

/// What the service writes without having been asked by a message.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// Lists an item, and tells all.
    List { sku: String, revision: i64 },
    /// Gives the answer that was deferred.
    Reserved { order_id: String },
}

pub(crate) struct Desk;

impl Writer for Desk {
    type Request = Request;
    type Response = bool;

    async fn write(&mut self, tx: &mut Tx<'_>, requests: &[Request]) -> Result<Vec<bool>, Error> {
        let mut responses = Vec::new();
        for request in requests {
            let known = match request {
                Request::List { sku, .. } if sku == "panics" => panic!("never heard of it"),
                Request::List { sku, revision } => {
                    write_down(tx, &[(sku.clone(), format!("list {revision}"))]).await?;
                    let item = listed(sku, *revision);
                    let key = sku.split('/').next().unwrap_or_default();
                    tx.publish(key, &item)?;
                    true
                }
                Request::Reserved { order_id } => {
                    let done = Decision::Done(StockReserved {});
                    answer::<ReserveStock>(tx, order_id, done).await?
                }
            };
            responses.push(known);
        }
        Ok(responses)
    }
}
