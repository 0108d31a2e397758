//! Writes that no message asked for: requests of an API, and what a service does by itself.
//!
//! Requests that wait share a commit. The work does not live in the caller's future: a caller that
//! goes away leaves no half-open transaction behind.

mod readiness;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{debug, info, warn};

use self::readiness::Readiness;
use crate::{
    Error, Messaging, Tx, Verdict,
    consumer::{Pace, on_own_thread, own_runtime},
    error::{chain, pause_after},
    hold::Hold,
};

/// Requests that may wait. More are turned away: the caller should come back later.
const WAITING_MAX: usize = 4_096;
/// Requests that share a commit.
const BATCH_LIMIT: usize = 500;
/// Trouble is waited out this often, together some 2.5 s, before the waiting requests are told.
const TRIES_MAX: u32 = 7;
/// How long requests that still wait when the process is to stop may take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait for a request before looking after what is published.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// Does requests, many in one transaction.
pub trait Writer: Send + 'static {
    type Request: Send + 'static;
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
    sender: mpsc::Sender<(W::Request, Answer<W>)>,
    ready: watch::Receiver<bool>,
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

type Answer<W> = oneshot::Sender<Result<<W as Writer>::Response, NotWritten>>;
type Receiver<W> = mpsc::Receiver<(<W as Writer>::Request, Answer<W>)>;

/// Requests that wait, and in the same order who waits for them.
struct Waiting<W: Writer> {
    requests: Vec<W::Request>,
    answers: Vec<Answer<W>>,
}

impl<W: Writer> Waiting<W> {
    fn of((request, answer): (W::Request, Answer<W>)) -> Self {
        Waiting { requests: vec![request], answers: vec![answer] }
    }

    fn push(&mut self, (request, answer): (W::Request, Answer<W>)) {
        self.requests.push(request);
        self.answers.push(answer);
    }

    /// With what has arrived meanwhile, up to the limit.
    fn fill(&mut self, requests: &mut Receiver<W>) {
        while self.len() < BATCH_LIMIT
            && let Ok(next) = requests.try_recv()
        {
            self.push(next);
        }
    }

    fn len(&self) -> usize {
        self.requests.len()
    }

    /// Keeps the first half.
    fn split_off_half(&mut self) -> Self {
        let half = self.len() / 2;
        Waiting { requests: self.requests.split_off(half), answers: self.answers.split_off(half) }
    }

    fn tell(self, why: &NotWritten) {
        for answer in self.answers {
            // Who does not wait any more can ask again.
            answer.send(Err(why.clone())).ok();
        }
    }
}

impl<W: Writer> Writes<W> {
    /// Returns when requests are worked on: not while another process has the lane or Postgres does
    /// not answer, and never when the writer has ended before that.
    pub async fn ready(&self) {
        if self.readiness().wait_for(|ready| *ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether requests are worked on, as it changes.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Returns when the request is durable, or was not done.
    pub async fn write(&self, request: W::Request) -> Result<W::Response, NotWritten> {
        let (answer, response) = oneshot::channel();
        self.sender.try_send((request, answer)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => NotWritten::Busy,
            mpsc::error::TrySendError::Closed(_) => NotWritten::Stopping,
        })?;
        response.await.unwrap_or(Err(NotWritten::Stopping))
    }
}

impl<W: Writer> Clone for Writes<W> {
    fn clone(&self) -> Self {
        Writes { sender: self.sender.clone(), ready: self.ready.clone() }
    }
}

impl<W: Writer> std::fmt::Debug for Writes<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writes").field("room", &self.sender.capacity()).finish()
    }
}

/// The working end of [`Writes`].
pub(crate) struct Requests<W: Writer> {
    receiver: Receiver<W>,
    ready: watch::Sender<bool>,
}

pub(crate) fn channel<W: Writer>() -> (Writes<W>, Requests<W>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (is_ready, ready) = watch::channel(false);
    (Writes { sender, ready }, Requests { receiver, ready: is_ready })
}

pub(crate) async fn run<W: Writer>(
    messaging: Messaging,
    lane_name: String,
    writer: W,
    requests: Requests<W>,
) -> Result<(), Error> {
    on_own_thread(lane_name.clone(), move || {
        let runtime = own_runtime()?;
        let Requests { receiver, ready } = requests;
        let hold = Hold::new(messaging.clone(), lane_name.clone());
        let readiness = Readiness::new(lane_name.clone(), ready);
        let work = Work { messaging, lane_name, hold, writer, readiness: &readiness };
        runtime.block_on(work.run(receiver))
    })
    .await
}

struct Work<'a, W: Writer> {
    messaging: Messaging,
    lane_name: String,
    hold: Hold,
    writer: W,
    readiness: &'a Readiness,
}

/// Why requests are not served any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The process is to stop.
    Stopping,
    /// Another process has the lane.
    LaneLost,
}

impl<W: Writer> Work<'_, W> {
    async fn run(mut self, mut requests: Receiver<W>) -> Result<(), Error> {
        let readiness = self.readiness;
        let mut is_ours = self.hold.claim().await?;
        while is_ours {
            readiness.begin();
            let end = tokio::select! {
                end = self.serve(&mut requests) => end,
                never = readiness.follow() => match never {},
            };
            match end {
                End::Stopping => {
                    self.stop(requests).await;
                    break;
                }
                End::LaneLost => {
                    readiness.end();
                    warn!(lane = self.lane_name, "another process has the lane, waiting for it");
                    is_ours = self.claim_again(&mut requests).await?;
                }
            }
        }
        Ok(())
    }

    async fn serve(&mut self, requests: &mut Receiver<W>) -> End {
        let shutdown = self.messaging.shutdown.clone();
        let mut pace = Pace::new(Instant::now());
        loop {
            let mut waiting: Waiting<W> = tokio::select! {
                received = timeout(IDLE_AFTER, requests.recv()) => match received {
                    Ok(Some(first)) => Waiting::of(first),
                    Ok(None) => return End::Stopping,
                    Err(_) => {
                        if self.idle().await == Some(Verdict::Stop) {
                            return End::LaneLost;
                        }
                        continue;
                    }
                },
                () = shutdown.cancelled() => return End::Stopping,
            };
            let gap = pace.gap(Instant::now());
            // A timer takes a millisecond even when there is nothing to wait for.
            if !gap.is_zero() {
                tokio::time::sleep(gap).await;
            }
            waiting.fill(requests);
            pace.starts(Instant::now(), waiting.len());
            if self.write(waiting, pace.is_busy()).await == Some(Verdict::Stop) {
                return End::LaneLost;
            }
            pace.ends(Instant::now());
        }
    }

    /// While nobody asks for anything. Returns what to do about a failure, if there was one.
    async fn idle(&mut self) -> Option<Verdict> {
        let idle = self.hold.idle().await;
        self.readiness.note(&idle);
        let failure = idle.err()?;
        debug!(lane = self.lane_name, error = chain(&failure), "not idle yet");
        Some(failure.verdict())
    }

    /// Waits for the lane, and sends away who asks meanwhile.
    async fn claim_again(&mut self, requests: &mut Receiver<W>) -> Result<bool, Error> {
        let elsewhere = NotWritten::Unavailable("another process does this work".to_owned());
        let mut claim = std::pin::pin!(self.hold.claim());
        loop {
            tokio::select! {
                claimed = &mut claim => return claimed,
                Some((_, answer)) = requests.recv() => {
                    // Who does not wait any more can ask again.
                    answer.send(Err(elsewhere.clone())).ok();
                }
            }
        }
    }

    /// Who asked before the process was to stop gets an answer, unless Postgres is away.
    async fn stop(&mut self, mut requests: Receiver<W>) {
        requests.close();
        if timeout(DRAIN_PATIENCE, self.drain(&mut requests)).await.is_ok() {
            self.hold.settle().await;
        } else {
            warn!(lane = self.lane_name, "stopped before every request was written");
            // It may be in the middle of a transaction.
            self.hold.let_go();
        }
        info!(lane = self.lane_name, "stopped");
    }

    async fn drain(&mut self, requests: &mut Receiver<W>) {
        while let Ok(first) = requests.try_recv() {
            let mut waiting = Waiting::of(first);
            waiting.fill(requests);
            self.write(waiting, false).await;
        }
    }

    /// Returns why some of it was given up in the end, if it was. `more_soon` as for
    /// [`Hold::transaction`].
    async fn write(&mut self, waiting: Waiting<W>, more_soon: bool) -> Option<Verdict> {
        let mut given_up = None;
        // Parts still to do, the first one last.
        let mut parts = vec![waiting];
        let mut tries = 0;
        while let Some(mut part) = parts.pop() {
            let failure = match self.transaction(&part.requests, more_soon).await {
                Ok(responses) => {
                    for (answer, response) in part.answers.into_iter().zip(responses) {
                        // Who does not wait any more can ask again.
                        answer.send(Ok(response)).ok();
                    }
                    tries = 0;
                    continue;
                }
                Err(failure) => failure,
            };
            let why = chain(&failure);
            warn!(lane = self.lane_name, error = why, requests = part.len(), "not written");
            let verdict = failure.verdict_after(tries);
            match verdict {
                Verdict::Culprit if part.len() > 1 => {
                    let second = part.split_off_half();
                    parts.extend([second, part]);
                    tries = 0;
                    continue;
                }
                Verdict::Culprit => {
                    part.tell(&NotWritten::Failed(why));
                    tries = 0;
                    continue;
                }
                Verdict::Stop => self.hold.let_go(),
                Verdict::Again | Verdict::Later => {}
            }
            if tries >= TRIES_MAX {
                part.tell(&NotWritten::Unavailable(why));
                given_up = Some(verdict);
                continue;
            }
            parts.push(part);
            tokio::time::sleep(pause_after(tries)).await;
            tries += 1;
        }
        given_up
    }

    async fn transaction(
        &mut self,
        requests: &[W::Request],
        more_soon: bool,
    ) -> Result<Vec<W::Response>, Error> {
        let writer = &mut self.writer;
        let written = self.hold.transaction(more_soon, async |tx| {
            let responses = writer.write(tx, requests).await?;
            let (asked, answered) = (requests.len(), responses.len());
            if asked == answered {
                Ok(responses)
            } else {
                Err(Error::Other(format!("{answered} responses to {asked} requests")))
            }
        });
        let result = written.await;
        self.writer.ended(result.is_ok());
        self.readiness.note(&result);
        result
    }
}
