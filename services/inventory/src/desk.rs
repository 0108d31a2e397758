//! Where changes of the catalogue are written: many requests in one transaction.

use messaging::{Error, Tx, Writer};
use sqlx::{PgConnection, query, query_as};

use crate::catalog::{Catalog, Change, Item, NotChanged, Restock};

pub(crate) struct Desk;

impl Writer for Desk {
    /// Changes that are made together.
    type Request = Vec<Change>;
    type Response = Vec<Result<Item, NotChanged>>;

    async fn write(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[Vec<Change>],
    ) -> Result<Vec<Self::Response>, Error> {
        let mut catalog = load(tx, requests.iter().flatten()).await?;
        let made = |changes: &Vec<Change>| {
            changes.iter().map(|change| catalog.make(change.clone())).collect()
        };
        let responses = requests.iter().map(made).collect();
        save(tx, &catalog).await?;
        for sku in &catalog.to_publish {
            if let Some(item) = catalog.items.get(sku) {
                tx.publish(sku, &item.to_event())?;
            }
        }
        Ok(responses)
    }
}

/// What the changes are about; items are locked, in sorted order.
async fn load(
    connection: &mut PgConnection,
    changes: impl Iterator<Item = &Change>,
) -> sqlx::Result<Catalog> {
    let (mut skus, mut request_ids) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Put { sku, .. } | Change::Announce { sku } => skus.push(sku.as_str()),
            Change::Restock { request_id, restock } => {
                skus.push(&restock.sku);
                request_ids.push(request_id.as_str());
            }
        }
    }
    let items: Vec<Item> = query_as(
        "SELECT sku, name, price_minor, currency, revision, available, reserved, committed, stocked
         FROM item WHERE sku = ANY($1) ORDER BY sku FOR UPDATE",
    )
    .bind(&skus)
    .fetch_all(&mut *connection)
    .await?;
    let restocks: Vec<(String, String, i64)> =
        query_as("SELECT request_id, sku, quantity FROM restock WHERE request_id = ANY($1)")
            .bind(&request_ids)
            .fetch_all(connection)
            .await?;
    let restock = |(request_id, sku, quantity)| (request_id, Restock { sku, quantity });
    Ok(Catalog {
        items: items.into_iter().map(|item| (item.sku.clone(), item)).collect(),
        restocks: restocks.into_iter().map(restock).collect(),
        ..Catalog::default()
    })
}

async fn save(connection: &mut PgConnection, catalog: &Catalog) -> sqlx::Result<()> {
    let changed = catalog.changed_items.iter().filter_map(|sku| catalog.items.get(sku));
    let (new, known): (Vec<&Item>, Vec<&Item>) =
        changed.partition(|item| catalog.new_items.contains(&item.sku));
    let insert = "INSERT INTO item
            (sku, name, price_minor, currency, revision, available, stocked)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[],
            $6::bigint[], $7::bigint[])";
    let update = "UPDATE item
         SET name = row.name, price_minor = row.price_minor, currency = row.currency,
             revision = row.revision, available = row.available, stocked = row.stocked
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[],
            $6::bigint[], $7::bigint[])
            AS row (sku, name, price_minor, currency, revision, available, stocked)
         WHERE item.sku = row.sku";
    for (statement, items) in [(insert, new), (update, known)] {
        if items.is_empty() {
            continue;
        }
        query(statement)
            .bind(items.iter().map(|item| item.sku.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.price_minor).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.currency.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.revision).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.available).collect::<Vec<_>>())
            .bind(items.iter().map(|item| item.stocked).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    insert_restocks(connection, catalog).await
}

async fn insert_restocks(connection: &mut PgConnection, catalog: &Catalog) -> sqlx::Result<()> {
    let restocks: Vec<(&str, &Restock)> = catalog
        .new_restocks
        .iter()
        .filter_map(|id| catalog.restocks.get(id).map(|restock| (id.as_str(), restock)))
        .collect();
    if restocks.is_empty() {
        return Ok(());
    }
    query(
        "INSERT INTO restock (request_id, sku, quantity)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])",
    )
    .bind(restocks.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(restocks.iter().map(|(_, restock)| restock.sku.as_str()).collect::<Vec<_>>())
    .bind(restocks.iter().map(|(_, restock)| restock.quantity).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
