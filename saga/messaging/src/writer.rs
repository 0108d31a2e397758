//! Writes that no message asked for: requests of an API, and what a service does by itself.
//!
//! Requests that wait share a commit. The work does not live in the caller's future: a caller that
//! goes away leaves no half-open transaction behind.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    Error, Messaging, Tx, Verdict,
    consumer::{Pace, on_own_thread, own_runtime, what_was_said},
    error::chain,
    lane::Lane,
};

/// Requests that may wait. More are turned away: the caller should come back later.
const WAITING_MAX: usize = 4_096;
/// Requests that share a commit.
const BATCH_LIMIT: usize = 500;
/// Trouble is waited out this often before the waiting requests are told.
const TRIES_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait for a request before looking after what is published.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// Does requests, many in one transaction.
pub trait Writer: Send + 'static {
    type Request: Clone + Send + 'static;
    type Response: Send + 'static;

    /// Does all requests, in order, within the transaction; one response for each. An error rolls
    /// all of them back; what is wrong with one request belongs into its response.
    fn write(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[Self::Request],
    ) -> impl Future<Output = Result<Vec<Self::Response>, Error>>;

    /// The last transaction was committed, or, with `false`, rolled back.
    fn ended(&mut self, _committed: bool) {}
}

/// Where requests are handed in. Cheap to clone.
pub struct Writes<W: Writer> {
    sender: mpsc::Sender<Waiting<W>>,
}

/// Why a request was not done. It may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    #[error("too many requests are waiting")]
    Busy,
    #[error("the process is stopping")]
    Stopping,
    /// The surroundings are in trouble. Whether it was done is not known: send the same again.
    #[error("not written: {0}")]
    Unavailable(String),
    /// This request cannot be done.
    #[error("not written: {0}")]
    Failed(String),
}

pub(crate) struct Waiting<W: Writer> {
    request: W::Request,
    answer: oneshot::Sender<Result<W::Response, NotWritten>>,
}

impl<W: Writer> Writes<W> {
    /// Returns when the request is durable, or was not done.
    pub async fn write(&self, request: W::Request) -> Result<W::Response, NotWritten> {
        let (answer, response) = oneshot::channel();
        self.sender.try_send(Waiting { request, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => NotWritten::Busy,
            mpsc::error::TrySendError::Closed(_) => NotWritten::Stopping,
        })?;
        response.await.unwrap_or(Err(NotWritten::Stopping))
    }
}

impl<W: Writer> Clone for Writes<W> {
    fn clone(&self) -> Self {
        Writes { sender: self.sender.clone() }
    }
}

impl<W: Writer> std::fmt::Debug for Writes<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writes").field("room", &self.sender.capacity()).finish()
    }
}

pub(crate) fn channel<W: Writer>() -> (Writes<W>, mpsc::Receiver<Waiting<W>>) {
    let (sender, requests) = mpsc::channel(WAITING_MAX);
    (Writes { sender }, requests)
}

pub(crate) async fn run<W: Writer>(
    messaging: Messaging,
    lane_name: String,
    writer: W,
    requests: mpsc::Receiver<Waiting<W>>,
) -> Result<(), Error> {
    on_own_thread(lane_name.clone(), move || {
        let runtime = own_runtime()?;
        let work = Work { messaging, lane_name, writer, lane: None };
        runtime.block_on(work.run(requests))
    })
    .await
}

struct Work<W: Writer> {
    messaging: Messaging,
    lane_name: String,
    writer: W,
    /// Absent after trouble: claimed again before the next transaction.
    lane: Option<Lane>,
}

impl<W: Writer> Work<W> {
    async fn run(mut self, mut requests: mpsc::Receiver<Waiting<W>>) -> Result<(), Error> {
        let shutdown = self.messaging.shutdown.clone();
        tokio::select! {
            lane = self.messaging.claim(&self.lane_name) => self.lane = Some(lane?),
            () = shutdown.cancelled() => return Ok(()),
        }
        info!(lane = self.lane_name, "ready to write");
        let mut pace = Pace::new();
        let mut waiting = Vec::with_capacity(BATCH_LIMIT);
        loop {
            tokio::select! {
                received = timeout(IDLE_AFTER, requests.recv()) => match received {
                    Ok(Some(first)) => waiting.push(first),
                    Ok(None) => break,
                    Err(_) => {
                        self.idle().await;
                        continue;
                    }
                },
                () = shutdown.cancelled() => break,
            }
            tokio::time::sleep(pace.gap()).await;
            while waiting.len() < BATCH_LIMIT
                && let Ok(next) = requests.try_recv()
            {
                waiting.push(next);
            }
            pace.starts(waiting.len());
            self.write(std::mem::take(&mut waiting)).await;
        }
        self.idle().await;
        info!(lane = self.lane_name, "stopped");
        Ok(())
    }

    async fn write(&mut self, waiting: Vec<Waiting<W>>) {
        // Parts still to do, the first one last.
        let mut parts = vec![waiting];
        let (mut tries, mut pause) = (0, FIRST_PAUSE);
        while let Some(mut part) = parts.pop() {
            let failure = match self.transaction(&part).await {
                Ok(responses) => {
                    for (Waiting { answer, .. }, response) in part.into_iter().zip(responses) {
                        // Who does not wait any more can ask again.
                        answer.send(Ok(response)).ok();
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            warn!(lane = self.lane_name, error = chain(&failure), requests = part.len(), "failed");
            tries += 1;
            match failure.verdict() {
                Verdict::Again if tries < TRIES_MAX => parts.push(part),
                Verdict::Stop | Verdict::Later if tries < TRIES_MAX => {
                    self.lane = None;
                    parts.push(part);
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Verdict::Again | Verdict::Stop | Verdict::Later => {
                    self.lane = None;
                    tell(part, &NotWritten::Unavailable(chain(&failure)));
                }
                Verdict::Culprit if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Verdict::Culprit => tell(part, &NotWritten::Failed(chain(&failure))),
            }
        }
    }

    async fn transaction(&mut self, part: &[Waiting<W>]) -> Result<Vec<W::Response>, Error> {
        let requests: Vec<W::Request> =
            part.iter().map(|waiting| waiting.request.clone()).collect();
        let lane = match &mut self.lane {
            Some(lane) => lane,
            None => self.lane.insert(self.messaging.claim(&self.lane_name).await?),
        };
        let mut tx = lane.begin().await?;
        let written = AssertUnwindSafe(self.writer.write(&mut tx, &requests)).catch_unwind().await;
        let outgoing = tx.into_outgoing();
        let result = match written {
            Ok(Ok(responses)) if responses.len() == requests.len() => {
                lane.commit(outgoing).await.map(|()| responses)
            }
            Ok(Ok(responses)) => Err(Error::Other(format!(
                "{} responses to {} requests",
                responses.len(),
                requests.len()
            ))),
            Ok(Err(failure)) => Err(failure),
            Err(panic) => Err(Error::Panicked(what_was_said(&*panic))),
        };
        self.writer.ended(result.is_ok());
        if result.is_err() && lane.roll_back().await.is_err() {
            self.lane = None;
        }
        result
    }

    async fn idle(&mut self) {
        let Some(lane) = &mut self.lane else { return };
        if let Err(error) = lane.idle().await {
            warn!(lane = self.lane_name, error = chain(&error), "marking what is published");
            self.lane = None;
        }
    }
}

fn tell<W: Writer>(part: Vec<Waiting<W>>, why: &NotWritten) {
    for Waiting { answer, .. } in part {
        // Who does not wait any more can ask again.
        answer.send(Err(why.clone())).ok();
    }
}
