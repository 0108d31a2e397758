//! Answers what sagas ask of the inventory.

use messaging::{Error, Participant, Tx};
use proto::{InventoryCommand, can_be_sku};
use saga_contract::Answer;
use uuid::Uuid;

use crate::{
    domain::{Stock, order_id},
    store,
};

pub(crate) struct Inventory;

impl Participant for Inventory {
    type Command = InventoryCommand;
    type State = Stock;

    async fn load(
        &mut self,
        tx: &mut Tx<'_>,
        commands: &[InventoryCommand],
    ) -> Result<Stock, Error> {
        let (orders, skus) = subjects(commands);
        Ok(store::load(tx, &orders, &skus).await?)
    }

    fn decide(stock: &mut Stock, command: InventoryCommand) -> Answer {
        command.decide(stock)
    }

    async fn save(&mut self, tx: &mut Tx<'_>, stock: Stock) -> Result<(), Error> {
        if let Some(impossible) = stock.impossible {
            return Err(Error::Other(impossible));
        }
        Ok(store::save(tx, &stock).await?)
    }
}

/// The orders and SKUs that commands name.
pub(crate) fn subjects(commands: &[InventoryCommand]) -> (Vec<Uuid>, Vec<&str>) {
    let mut skus = Vec::new();
    let mut orders = Vec::with_capacity(commands.len());
    for command in commands {
        let order = match command {
            InventoryCommand::ReserveStock(command) => {
                let named = command.lines.iter().map(|line| line.sku.as_str());
                skus.extend(named.filter(|sku| can_be_sku(sku)));
                &command.order_id
            }
            InventoryCommand::ReleaseStock(command) => &command.order_id,
            InventoryCommand::CommitStock(command) => &command.order_id,
        };
        orders.extend(order_id(order));
    }
    (orders, skus)
}
