//! Who watches sagas hears of each commit that moved some.

use std::sync::Arc;

use saga_core::Instance;
use time::OffsetDateTime;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::store::Row;

/// Commits that a slow watcher may lag behind. After that it is told that it missed some.
const COMMITS_BEHIND_MAX: usize = 64;

/// A saga that moved, as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) id: Uuid,
    pub(crate) key: String,
    pub(crate) instance: Instance,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) moved_at: OffsetDateTime,
}

impl Moved {
    pub(crate) fn of(row: Row, now: OffsetDateTime) -> Self {
        let Row { id, key, instance, started_at, .. } = row;
        Moved { id, key, instance, started_at, moved_at: now }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Movements {
    sender: broadcast::Sender<Arc<Vec<Moved>>>,
}

impl Default for Movements {
    fn default() -> Self {
        Movements { sender: broadcast::Sender::new(COMMITS_BEHIND_MAX) }
    }
}

impl Movements {
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Vec<Moved>>> {
        self.sender.subscribe()
    }

    /// Whether it is worth while to take down what moves.
    pub(crate) fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// After the commit.
    pub(crate) fn tell(&self, moved: Vec<Moved>) {
        if !moved.is_empty() {
            // Nobody listens any more: then nobody misses it.
            self.sender.send(Arc::new(moved)).ok();
        }
    }
}
