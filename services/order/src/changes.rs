//! Tells whoever follows an order what becomes of it: at once when this process changed it, and a
//! little later when another one did.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bootstrap::Problem;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::{domain::Change, store};

/// Followers in one process.
const MAX_FOLLOWERS: usize = 50_000;
/// How often to look for changes by other processes.
const ROUND: Duration = Duration::from_secs(2);
/// Orders that are looked up by one statement.
const LOOK_UP_LIMIT: usize = 1_000;
/// When a caller who cannot follow may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where changes are told. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Mutex<Followed>>);

#[derive(Debug, Default)]
struct Followed {
    /// The latest change of each order that somebody follows.
    orders: HashMap<Uuid, watch::Sender<Option<Arc<Change>>>>,
    follower_count: usize,
}

/// Somebody who follows one order, until dropped.
#[derive(Debug)]
pub(crate) struct Following {
    order_id: Uuid,
    changes: Changes,
    /// Given back under the lock, so that of two who leave together one is the last.
    receiver: Option<watch::Receiver<Option<Arc<Change>>>>,
}

impl Changes {
    /// Follows an order from now on: begin before reading how it stands.
    pub(crate) fn follow(&self, order_id: Uuid) -> Result<Following, Problem> {
        let mut followed = self.lock();
        if followed.follower_count >= MAX_FOLLOWERS {
            return Err(Problem::Busy { retry_after: RETRY_AFTER });
        }
        followed.follower_count += 1;
        let sender = followed.orders.entry(order_id).or_insert_with(|| watch::Sender::new(None));
        let mut receiver = sender.subscribe();
        // What others have been told already is news to this one.
        receiver.mark_changed();
        Ok(Following { order_id, changes: self.clone(), receiver: Some(receiver) })
    }

    /// Tells what has been committed.
    pub(crate) fn tell(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let followed = self.lock();
        for change in changes {
            let Some(sender) = followed.orders.get(&change.order_id) else { continue };
            sender.send_if_modified(|latest| {
                let is_news =
                    latest.as_ref().is_none_or(|latest| change.status.comes_after(latest.status));
                if is_news {
                    *latest = Some(Arc::new(change));
                }
                is_news
            });
        }
    }

    pub(crate) fn followed(&self) -> Vec<Uuid> {
        self.lock().orders.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Followed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Following {
    /// The latest change that this follower has not seen. It may be one that was already known
    /// from elsewhere.
    pub(crate) async fn next(&mut self) -> Arc<Change> {
        // Receiver and sender stay as long as somebody follows.
        while let Some(receiver) = &mut self.receiver
            && receiver.changed().await.is_ok()
        {
            if let Some(change) = &*receiver.borrow_and_update() {
                return Arc::clone(change);
            }
        }
        std::future::pending().await
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut followed = self.changes.lock();
        followed.follower_count -= 1;
        self.receiver = None;
        let is_last =
            followed.orders.get(&self.order_id).is_some_and(|sender| sender.receiver_count() == 0);
        if is_last {
            followed.orders.remove(&self.order_id);
        }
    }
}

/// Looks up, now and then, how the followed orders stand: another process may have changed them.
pub(crate) async fn look_after(
    changes: Changes,
    db: PgPool,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        for order_ids in changes.followed().chunks(LOOK_UP_LIMIT) {
            match store::changes(&db, order_ids).await {
                Ok(found) => changes.tell(found),
                Err(error) => warn!(%error, "looking up the orders that are followed"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
