//! Takes what has arrived, on all partitions of a lane, in one transaction; offsets follow.
//!
//! While one transaction runs the next batch gathers: no timer decides how large it is. A batch that
//! fails is tried again, or split until the message that is to blame stands alone.

mod batch;
mod coverage;
mod pace;
mod poll;
mod subscription;

use std::{future::Future, sync::Arc, thread};

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tracing::error;

pub(crate) use self::{pace::Pace, poll::own_runtime};
use crate::{
    Envelope, Error, Tx,
    message::{BadHeaders, Headers},
    start::Messaging,
};

/// A record as it arrived, with its headers read.
#[derive(Debug)]
pub struct Record {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub envelope: Result<Envelope, BadHeaders>,
    pub payload: Vec<u8>,
    pub received_at: OffsetDateTime,
    /// Key and headers as they came, for the dead letters.
    pub key: Vec<u8>,
    pub headers: Headers,
}

/// What a consumer does with a batch.
pub trait Handler: Send + 'static {
    /// Handles all records, in order, within the transaction. When it fails, the whole batch is
    /// rolled back and comes again, possibly in parts.
    fn handle(
        &mut self,
        tx: &mut Tx<'_>,
        batch: &[Record],
    ) -> impl Future<Output = Result<(), Error>>;

    /// The record becomes a dead letter in this transaction: tells whoever waits for an answer.
    fn set_aside(
        &mut self,
        tx: &mut Tx<'_>,
        record: &Record,
        reason: &str,
    ) -> impl Future<Output = Result<(), Error>>;

    /// The last transaction was committed, or, with `false`, rolled back.
    fn ended(&mut self, _committed: bool) {}
}

/// One member of a consumer group: a thread with its own consumer, connection and outbox lane.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Of the lane, unique among all processes: see [`Messaging::lane_name`].
    pub name: String,
    pub group: String,
    pub topics: Vec<String>,
}

/// Runs a consumer until the process stops. Returns early only with an error.
pub async fn run<H: Handler>(
    messaging: Messaging,
    membership: Membership,
    handler: H,
) -> Result<(), Error> {
    on_own_thread(membership.name.clone(), move || poll::run(&messaging, &membership, handler))
        .await
}

/// A lane blocks: in the consumer, and while the producer's queue is full. So it has its own thread
/// and, for its transactions, its own small runtime.
pub(crate) async fn on_own_thread<F>(name: String, work: F) -> Result<(), Error>
where
    F: FnOnce() -> Result<(), Error> + Send + 'static,
{
    let (ended, end) = oneshot::channel();
    let spawned = thread::Builder::new().name(name.clone()).spawn(move || {
        let result = work();
        if ended.send(result).is_err() {
            error!("a lane ended after everything else");
        }
    });
    if let Err(error) = spawned {
        return Err(Error::Other(format!("starting the thread {name}: {error}")));
    }
    end.await.unwrap_or_else(|_| Err(Error::Panicked(format!("the lane {name} died"))))
}

/// A record that was handled, for tracing.
#[derive(Debug, Clone)]
pub struct Handled<'a> {
    pub record: &'a Record,
    pub started_at: OffsetDateTime,
    pub finished_at: OffsetDateTime,
}
