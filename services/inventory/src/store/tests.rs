//! Load, decide, save, as a batch of commands does, on a real Postgres.

use std::time::Duration;

use proto::{
    InventoryCommand,
    inventory::{CommitStock, ReleaseStock, ReserveStock, StockLine},
};
use saga_contract::Answer;
use sqlx::{Connection, query, query_scalar};
use tokio::task::JoinHandle;

use super::*;
use crate::commands::subjects;

struct Shop {
    connection: PgConnection,
}

impl Shop {
    async fn with(items: &[(&str, i64)]) -> Self {
        let url = provision::cluster::shared().await.database("inventory_store").await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::migrate!("../../migrations/inventory").run(&mut connection).await.unwrap();
        for (sku, pieces) in items {
            query(
                "INSERT INTO item (sku, name, price_minor, currency, available, stocked)
                 VALUES ($1, $1, 100, 'EUR', $2, $2)",
            )
            .bind(sku)
            .bind(pieces)
            .execute(&mut connection)
            .await
            .unwrap();
        }
        Shop { connection }
    }

    /// Handles the commands in one transaction; tells which were done.
    async fn batch(&mut self, commands: Vec<InventoryCommand>) -> Vec<bool> {
        let mut tx = self.connection.begin().await.unwrap();
        let stock = loaded(&mut tx, &commands).await;
        let done = saved(&mut tx, stock, commands).await;
        tx.commit().await.unwrap();
        done
    }

    /// The same shop, as another process sees it.
    async fn beside(&mut self) -> Self {
        let database: String = query_scalar("SELECT current_database()")
            .fetch_one(&mut self.connection)
            .await
            .unwrap();
        let url = provision::cluster::shared().await.postgres().url(&database);
        Shop { connection: PgConnection::connect(&url).await.unwrap() }
    }

    /// Looks until somebody waits for a lock in this database.
    async fn until_one_waits(&mut self, rival: &JoinHandle<Vec<bool>>) {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock')";
        while !query_scalar::<_, bool>(waits).fetch_one(&mut self.connection).await.unwrap() {
            assert!(!rival.is_finished(), "the rival has not waited");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn pieces(&mut self, sku: &str) -> (i64, i64, i64) {
        query_as("SELECT available, reserved, committed FROM item WHERE sku = $1")
            .bind(sku)
            .fetch_one(&mut self.connection)
            .await
            .unwrap()
    }

    async fn status(&mut self, order: Uuid) -> Option<String> {
        query_scalar("SELECT status FROM reservation WHERE order_id = $1")
            .bind(order)
            .fetch_optional(&mut self.connection)
            .await
            .unwrap()
    }
}

async fn loaded(connection: &mut PgConnection, commands: &[InventoryCommand]) -> Stock {
    let (orders, skus) = subjects(commands);
    load(connection, &orders, &skus).await.unwrap()
}

/// Decides and writes; tells which were done.
async fn saved(
    connection: &mut PgConnection,
    mut stock: Stock,
    commands: Vec<InventoryCommand>,
) -> Vec<bool> {
    let done =
        |command: InventoryCommand| matches!(command.decide(&mut stock), Answer::Succeeded { .. });
    let done = commands.into_iter().map(done).collect();
    assert_eq!(stock.impossible, None);
    save(connection, &stock).await.unwrap();
    done
}

fn reserve(order: Uuid, lines: &[(&str, u32)]) -> InventoryCommand {
    let line =
        |(sku, quantity): &(&str, u32)| StockLine { sku: (*sku).to_owned(), quantity: *quantity };
    let (order_id, lines) = (order.to_string(), lines.iter().map(line).collect());
    InventoryCommand::ReserveStock(ReserveStock { order_id, lines })
}

fn release(order: Uuid) -> InventoryCommand {
    InventoryCommand::ReleaseStock(ReleaseStock { order_id: order.to_string() })
}

fn commit(order: Uuid) -> InventoryCommand {
    InventoryCommand::CommitStock(CommitStock { order_id: order.to_string() })
}

#[tokio::test]
async fn a_batch_moves_the_stock_of_many_orders() {
    let mut shop = Shop::with(&[("SKU-1", 10), ("SKU-2", 10)]).await;
    let [one, two, three] = [(); 3].map(|()| Uuid::now_v7());
    let reserved = shop
        .batch(vec![
            reserve(one, &[("SKU-1", 2), ("SKU-2", 1)]),
            reserve(two, &[("SKU-2", 3)]),
            reserve(three, &[("SKU-2", 4), ("SKU-404", 1)]),
        ])
        .await;
    assert_eq!(reserved, [true, true, false]);
    assert_eq!(shop.pieces("SKU-2").await, (6, 4, 0));

    assert_eq!(shop.batch(vec![commit(one), release(two), release(three)]).await, [true; 3]);
    assert_eq!(shop.pieces("SKU-1").await, (8, 0, 2));
    assert_eq!(shop.pieces("SKU-2").await, (9, 0, 1));
    assert_eq!(shop.status(one).await.unwrap(), "committed");
    assert_eq!(shop.status(two).await.unwrap(), "released");
    assert_eq!(shop.status(three).await, None);
}

#[tokio::test]
async fn the_last_item_in_one_batch_goes_to_exactly_one() {
    let mut shop = Shop::with(&[("SKU-9", 1)]).await;
    let orders: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    let commands = orders.iter().map(|order| reserve(*order, &[("SKU-9", 1)])).collect();
    assert_eq!(shop.batch(commands).await, [true, false, false, false, false]);
    assert_eq!(shop.pieces("SKU-9").await, (0, 1, 0));
}

#[tokio::test]
async fn the_last_item_is_contended_by_two_processes() {
    let mut shop = Shop::with(&[("SKU-9", 1)]).await;
    let (mut rival, mut onlooker) = (shop.beside().await, shop.beside().await);
    let [ours, theirs] = [(); 2].map(|()| vec![reserve(Uuid::now_v7(), &[("SKU-9", 1)])]);

    // The rival comes when the piece is seen and not yet taken.
    let mut tx = shop.connection.begin().await.unwrap();
    let stock = loaded(&mut tx, &ours).await;
    let rival = tokio::spawn(async move { rival.batch(theirs).await });
    onlooker.until_one_waits(&rival).await;
    assert_eq!(saved(&mut tx, stock, ours).await, [true]);
    tx.commit().await.unwrap();
    assert_eq!(rival.await.unwrap(), [false]);
    assert_eq!(shop.pieces("SKU-9").await, (0, 1, 0));
}

#[tokio::test]
async fn duplicates_and_undo_in_one_batch_count_once() {
    let mut shop = Shop::with(&[("SKU-1", 10)]).await;
    let order = Uuid::now_v7();
    let twice = vec![reserve(order, &[("SKU-1", 2)]), reserve(order, &[("SKU-1", 2)])];
    assert_eq!(shop.batch(twice.clone()).await, [true, true]);
    assert_eq!(shop.batch(twice).await, [true, true]);
    assert_eq!(shop.pieces("SKU-1").await, (8, 2, 0));
    assert_eq!(shop.batch(vec![release(order), release(order)]).await, [true, true]);
    assert_eq!(shop.batch(vec![release(order)]).await, [true]);
    assert_eq!(shop.pieces("SKU-1").await, (10, 0, 0));
    assert_eq!(shop.batch(vec![reserve(order, &[("SKU-1", 2)])]).await, [false]);

    let at_once = Uuid::now_v7();
    shop.batch(vec![reserve(at_once, &[("SKU-1", 1)]), release(at_once)]).await;
    assert_eq!(shop.pieces("SKU-1").await, (10, 0, 0));
    assert_eq!(shop.status(at_once).await.unwrap(), "released");
}

#[tokio::test]
async fn an_undo_that_comes_first_has_no_effect() {
    let mut shop = Shop::with(&[("SKU-1", 10)]).await;
    let order = Uuid::now_v7();
    assert_eq!(shop.batch(vec![release(order)]).await, [true]);
    assert_eq!(shop.pieces("SKU-1").await, (10, 0, 0));
    assert_eq!(shop.status(order).await, None);
}

#[tokio::test]
async fn the_database_itself_refuses_stock_below_zero() {
    let mut shop = Shop::with(&[("SKU-1", 1)]).await;
    let oversold = query("UPDATE item SET available = -1, reserved = 2 WHERE sku = 'SKU-1'");
    let refused = oversold.execute(&mut shop.connection).await.unwrap_err();
    let constraint = refused.as_database_error().unwrap().constraint();
    assert_eq!(constraint, Some("item_available_not_negative"));
}
