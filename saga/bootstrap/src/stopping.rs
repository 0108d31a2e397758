//! How a process ends: the signals that ask for it, and the parts that stop together.

use std::{panic::AssertUnwindSafe, time::Duration};

use anyhow::{Context, anyhow};
use futures::{FutureExt, future::BoxFuture};
use messaging::panic_text;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// A deliberate set of concurrent parts of a process: when one fails, or ends before it was told to, or
/// the token is cancelled, all are told to stop.
pub struct Tasks {
    shutdown: CancellationToken,
    deadline: Duration,
    parts: Vec<(&'static str, BoxFuture<'static, anyhow::Result<()>>)>,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.parts.iter().map(|(name, _)| name).collect();
        f.debug_struct("Tasks").field("parts", &names).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Parts watch `shutdown` and have `deadline` to end once it is cancelled.
    pub fn new(shutdown: CancellationToken, deadline: Duration) -> Self {
        Self { shutdown, deadline, parts: Vec::new() }
    }

    /// Adds a part; it runs from [`Tasks::until_stopped`] on.
    pub fn run(
        mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> Self {
        self.parts.push((name, part.boxed()));
        self
    }

    /// Runs all parts until the last has ended.
    ///
    /// # Errors
    /// The first part, by its name, that failed, panicked, or ended without being told to; or which
    /// parts did not end in time (they are dropped where they stand).
    pub async fn until_stopped(self) -> anyhow::Result<()> {
        let mut running: Vec<_> = self.parts.iter().map(|(name, _)| *name).collect();
        let mut parts = JoinSet::new();
        for (name, part) in self.parts {
            parts.spawn(async move { (name, outcome(name, part).await) });
        }

        let mut first_failure = None;
        let mut deadline = std::pin::pin!(async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(self.deadline).await;
        });
        loop {
            let ended = tokio::select! {
                ended = parts.join_next() => ended,
                () = &mut deadline => {
                    tracing::error!(?running, deadline = ?self.deadline, "did not stop in time");
                    let late = anyhow!("did not stop within {:?}: {}", self.deadline, running.join(", "));
                    return Err(first_failure.unwrap_or(late));
                }
            };
            let Some(ended) = ended else { break };
            let (name, result) = ended.context("joining a part of the process")?;
            running.retain(|still| *still != name);
            let was_told = self.shutdown.is_cancelled();
            let result = result.and_then(|()| {
                anyhow::ensure!(was_told, "{name} ended without being told to");
                Ok(())
            });
            match result {
                Ok(()) => tracing::debug!(part = name, "ended"),
                Err(error) => {
                    tracing::error!(part = name, error = format!("{error:#}"), "failed");
                    first_failure.get_or_insert(error);
                }
            }
            self.shutdown.cancel();
        }
        first_failure.map_or(Ok(()), Err)
    }
}

async fn outcome(
    name: &'static str,
    part: BoxFuture<'static, anyhow::Result<()>>,
) -> anyhow::Result<()> {
    match AssertUnwindSafe(part).catch_unwind().await {
        Ok(result) => result.context(name),
        Err(panic) => Err(anyhow!("{name}: panicked: {}", panic_text(&*panic))),
    }
}

/// A token that SIGINT, SIGTERM or SIGHUP (the terminal was closed) cancels. A second signal ends the
/// process at once.
///
/// Call it inside the runtime, before work starts.
pub fn stop_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let hangup = (!outlives_terminal()).then_some((SignalKind::hangup(), "SIGHUP"));
    let signals = [(SignalKind::interrupt(), "SIGINT"), (SignalKind::terminate(), "SIGTERM")];
    for (kind, name) in signals.into_iter().chain(hangup) {
        match signal(kind) {
            Ok(mut signals) => {
                let stop = stop.clone();
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        told_to_stop(&stop, kind, name);
                    }
                });
            }
            Err(error) => tracing::warn!(%error, signal = name, "cannot be caught"),
        }
    }
    stop
}

/// Started by `nohup`, which has SIGHUP ignored. As Linux tells it.
fn outlives_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit is of the first signal, and that is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

#[expect(clippy::exit, reason = "the second signal asks for just that")]
fn told_to_stop(stop: &CancellationToken, kind: SignalKind, name: &str) {
    if stop.is_cancelled() {
        tracing::warn!(signal = name, "ending at once");
        std::process::exit(SIGNAL_EXIT_BASE + kind.as_raw_value());
    }
    tracing::info!(signal = name, "stopping; send it again to end at once");
    stop.cancel();
}

/// What shells add to a signal's number.
const SIGNAL_EXIT_BASE: i32 = 128;

#[cfg(test)]
mod tests;
