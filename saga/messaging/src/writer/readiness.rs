//! Whether requests are worked on: not while another process has the lane, and not while Postgres does
//! not answer.

use std::{convert::Infallible, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tracing::{info, warn};

use crate::{Error, Verdict};

/// A Postgres that has not answered for so long is away. A writer hears of it about every second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Readiness {
    lane_name: String,
    ready: watch::Sender<bool>,
    answered: Notify,
}

impl Readiness {
    pub(super) fn new(lane_name: String, ready: watch::Sender<bool>) -> Self {
        Readiness { lane_name, ready, answered: Notify::new() }
    }

    /// The lane is ours.
    pub(super) fn begin(&self) {
        self.answered.notify_one();
    }

    /// The lane is another process's.
    pub(super) fn end(&self) {
        self.ready.send_replace(false);
    }

    /// What came of asking Postgres for something. Also a no is an answer.
    pub(super) fn note<T>(&self, result: &Result<T, Error>) {
        if result.as_ref().err().is_none_or(|failure| failure.verdict() != Verdict::Later) {
            self.answered.notify_one();
        }
    }

    /// Says so when the answers cease, and when they come again; while the lane is ours.
    pub(super) async fn follow(&self) -> Infallible {
        loop {
            let answers = timeout(SILENCE_MAX, self.answered.notified()).await.is_ok();
            let lane = &self.lane_name;
            // Who follows it hears of changes only: this comes with every transaction.
            let changes = |ready: &mut bool| std::mem::replace(ready, answers) != answers;
            match (self.ready.send_if_modified(changes), answers) {
                (true, true) => info!(lane, "ready to write"),
                (true, false) => warn!(lane, "Postgres does not answer, not ready until it does"),
                (false, _) => {}
            }
        }
    }
}
