//! Items and reservations in the database: a batch is written by one statement, whose arrays are
//! unnested in select lists, where they stream.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{PgConnection, query, query_as, types::Json};
use uuid::Uuid;

use crate::domain::{Item, Line, Pieces, Reservation, Status, Stock};

/// The reservations of these orders, and the items that they or the lines of new orders are about;
/// all locked, in sorted order.
pub(crate) async fn load(
    connection: &mut PgConnection,
    orders: &[Uuid],
    skus: &[&str],
) -> sqlx::Result<Stock> {
    let reservations = lock_reservations(connection, orders).await?;
    let mut wanted: BTreeSet<&str> = skus.iter().copied().collect();
    let held = reservations.values().filter(|reservation| reservation.now == Status::Reserved);
    wanted.extend(held.flat_map(|reservation| &reservation.lines).map(|line| line.sku.as_str()));
    let items = lock_items(connection, &wanted.into_iter().collect::<Vec<_>>()).await?;
    Ok(Stock { items, reservations, impossible: None })
}

async fn lock_reservations(
    connection: &mut PgConnection,
    orders: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Reservation>> {
    let rows: Vec<(Uuid, String, Json<Vec<Line>>)> = query_as(
        "SELECT order_id, status, lines FROM reservation
         WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(orders)
    .fetch_all(connection)
    .await?;
    let reservation = |(order_id, status, Json(lines)): (Uuid, String, Json<Vec<Line>>)| {
        let now = Status::from_label(&status)?;
        Ok((order_id, Reservation { lines, stored: Some(now), now }))
    };
    rows.into_iter().map(reservation).collect()
}

async fn lock_items(
    connection: &mut PgConnection,
    skus: &[&str],
) -> sqlx::Result<BTreeMap<String, Item>> {
    if skus.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, i64, i64, i64)> = query_as(
        "SELECT sku, available, reserved, committed FROM item
         WHERE sku = ANY($1) ORDER BY sku FOR UPDATE",
    )
    .bind(skus)
    .fetch_all(connection)
    .await?;
    let item = |(sku, available, reserved, committed)| {
        let stored = Pieces { available, reserved, committed };
        (sku, Item { stored, now: stored })
    };
    Ok(rows.into_iter().map(item).collect())
}

/// Writes what has changed since it was loaded.
pub(crate) async fn save(connection: &mut PgConnection, stock: &Stock) -> sqlx::Result<()> {
    let items: Vec<_> = stock.items.iter().filter(|(_, item)| item.now != item.stored).collect();
    let (new, known): (Vec<_>, Vec<_>) = stock
        .reservations
        .iter()
        .filter(|(_, reservation)| reservation.stored != Some(reservation.now))
        .partition(|(_, reservation)| reservation.stored.is_none());
    if items.is_empty() && new.is_empty() && known.is_empty() {
        return Ok(());
    }
    let pieces = |column: fn(&Pieces) -> i64| -> Vec<i64> {
        items.iter().map(|(_, item)| column(&item.now)).collect()
    };
    let orders = |of: &[(&Uuid, &Reservation)]| -> Vec<Uuid> {
        of.iter().map(|(order_id, _)| **order_id).collect()
    };
    let statuses = |of: &[(&Uuid, &Reservation)]| -> Vec<&str> {
        of.iter().map(|(_, reservation)| reservation.now.label()).collect()
    };
    query(
        "WITH item_now AS (
            UPDATE item
            SET available = row.available, reserved = row.reserved, committed = row.committed
            FROM (SELECT unnest($1::text[]) AS sku, unnest($2::bigint[]) AS available,
                unnest($3::bigint[]) AS reserved, unnest($4::bigint[]) AS committed) AS row
            WHERE item.sku = row.sku
        ), reserved AS (
            INSERT INTO reservation (order_id, status, lines)
            SELECT unnest($5::uuid[]), unnest($6::text[]), unnest($7::jsonb[])
        )
        UPDATE reservation SET status = row.status, moved_at = now()
        FROM (SELECT unnest($8::uuid[]) AS order_id, unnest($9::text[]) AS status) AS row
        WHERE reservation.order_id = row.order_id",
    )
    .bind(items.iter().map(|(sku, _)| sku.as_str()).collect::<Vec<_>>())
    .bind(pieces(|pieces| pieces.available))
    .bind(pieces(|pieces| pieces.reserved))
    .bind(pieces(|pieces| pieces.committed))
    .bind(orders(&new))
    .bind(statuses(&new))
    .bind(new.iter().map(|(_, reservation)| Json(&reservation.lines)).collect::<Vec<_>>())
    .bind(orders(&known))
    .bind(statuses(&known))
    .execute(connection)
    .await?;
    Ok(())
}

impl Status {
    fn label(self) -> &'static str {
        match self {
            Status::Reserved => "reserved",
            Status::Released => "released",
            Status::Committed => "committed",
        }
    }

    pub(crate) fn from_label(label: &str) -> sqlx::Result<Self> {
        match label {
            "reserved" => Ok(Status::Reserved),
            "released" => Ok(Status::Released),
            "committed" => Ok(Status::Committed),
            other => Err(sqlx::Error::Decode(format!("reservation.status is `{other}`").into())),
        }
    }
}

#[cfg(test)]
mod tests;
