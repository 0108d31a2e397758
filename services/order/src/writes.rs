//! What the API writes: requests that arrive together share one transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use messaging::{Error, Tx, writer::Writer};
use uuid::Uuid;

use crate::{
    changes::Changes,
    domain::{Change, Order},
    placing::Placing,
    refused::Refused,
    store,
};

/// A request.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Place(Arc<Placing>),
    Cancel { order_id: Uuid, reason: String },
}

pub(crate) struct OrderWriter {
    changes: Changes,
    /// By the transaction under way.
    placed_count: u64,
    changed: Vec<Change>,
}

impl OrderWriter {
    pub(crate) fn new(changes: Changes) -> Self {
        OrderWriter { changes, placed_count: 0, changed: Vec::new() }
    }

    /// One answer for each, in order. Prices are looked up, new orders inserted, and what was
    /// there already is looked up: three statements at most, whatever the number.
    async fn place(
        &mut self,
        tx: &mut Tx<'_>,
        placings: &[&Placing],
    ) -> Result<Vec<Result<Order, Refused>>, Error> {
        let mut skus: Vec<&str> = placings.iter().flat_map(|placing| placing.skus()).collect();
        skus.sort_unstable();
        skus.dedup();
        let catalog = store::prices(tx, &skus).await?;
        let priced: Vec<_> = placings.iter().map(|placing| placing.price(&catalog)).collect();

        // Of several with one request id, the first is the order.
        let mut request_ids = HashSet::new();
        let new: Vec<(&Placing, &Order)> = placings
            .iter()
            .zip(&priced)
            .filter_map(|(placing, priced)| Some((*placing, priced.as_ref().ok()?)))
            .filter(|(placing, _)| request_ids.insert(placing.request_id.as_str()))
            .collect();
        let inserted: HashSet<Uuid> = if new.is_empty() {
            HashSet::new()
        } else {
            store::insert(tx, &new).await?.into_iter().collect()
        };
        let mut known: HashMap<&str, (&[u8], &Order)> = HashMap::new();
        for (placing, order) in new.into_iter().filter(|(_, order)| inserted.contains(&order.id)) {
            tx.announce(&order.id.to_string(), &order.placed())?;
            known.insert(&placing.request_id, (&placing.hash, order));
        }
        self.placed_count = inserted.len() as u64;

        let others: HashSet<&str> = placings
            .iter()
            .map(|placing| placing.request_id.as_str())
            .filter(|request_id| !known.contains_key(request_id))
            .collect();
        let earlier = if others.is_empty() {
            HashMap::new()
        } else {
            store::by_request_ids(tx, &Vec::from_iter(others)).await?
        };
        let earlier = earlier.iter().map(|(id, (hash, order))| (&**id, (&**hash, order)));
        known.extend(earlier);

        let answer = |(placing, priced): (&&Placing, &Result<Order, Refused>)| {
            match (known.get(placing.request_id.as_str()), priced) {
                (Some((hash, order)), _) if **hash == placing.hash => {
                    Ok(Ok((*order).clone().when_taken()))
                }
                (Some(_), _) => Ok(Err(Refused::RequestIdReused(placing.request_id.clone()))),
                (None, Err(refused)) => Ok(Err(refused.clone())),
                // Orders are never deleted, so it is there when looked for again.
                (None, Ok(_)) => Err(Error::Conflict),
            }
        };
        placings.iter().zip(&priced).map(answer).collect()
    }

    async fn cancel(
        &mut self,
        tx: &mut Tx<'_>,
        cancellations: &[(Uuid, &str)],
    ) -> Result<Vec<Result<Order, Refused>>, Error> {
        let mut ids: Vec<Uuid> = cancellations.iter().map(|(order_id, _)| *order_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut orders = store::lock(tx, &ids).await?;
        let mut answers = Vec::with_capacity(cancellations.len());
        for (order_id, reason) in cancellations {
            answers.push(match orders.get_mut(order_id) {
                None => Err(Refused::NoSuchOrder(*order_id)),
                Some(order) => order.cancel(reason).map(|change| {
                    self.changed.extend(change);
                    order.clone()
                }),
            });
        }
        if !self.changed.is_empty() {
            store::save(tx, &self.changed).await?;
        }
        Ok(answers)
    }
}

impl Writer for OrderWriter {
    type Request = Write;
    type Response = Result<Order, Refused>;

    async fn write(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[Write],
    ) -> Result<Vec<Result<Order, Refused>>, Error> {
        let (mut placings, mut cancellations) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Write::Place(placing) => placings.push(&**placing),
                Write::Cancel { order_id, reason } => {
                    cancellations.push((*order_id, reason.as_str()));
                }
            }
        }
        let mut placed = Vec::new().into_iter();
        if !placings.is_empty() {
            placed = self.place(tx, &placings).await?.into_iter();
        }
        let mut cancelled = Vec::new().into_iter();
        if !cancellations.is_empty() {
            cancelled = self.cancel(tx, &cancellations).await?.into_iter();
        }
        let written = requests.iter().filter_map(|request| match request {
            Write::Place(_) => placed.next(),
            Write::Cancel { .. } => cancelled.next(),
        });
        Ok(written.collect())
    }

    fn ended(&mut self, committed: bool) {
        let changed = std::mem::take(&mut self.changed);
        let placed_count = std::mem::take(&mut self.placed_count);
        if committed {
            metrics::counter!("orders_placed_total").increment(placed_count);
            self.changes.tell(changed);
        }
    }
}
