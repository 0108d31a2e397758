//! Calls the gateway for what it could not decide at once. Which calls are due stands in the table,
//! so none is forgotten when the process dies.

use std::{sync::Arc, time::Duration};

use messaging::Writes;
use metrics::Unit;
use sqlx::PgPool;
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    domain::{Call, CallKind, CallResult, Said},
    gateway::{Gateway, Unavailable},
    outcomes::Outcomes,
    store,
};

/// How often to look for calls that are due, when nobody says so.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// What writing down the outcome may take, before the call counts as lost.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

pub(crate) struct Caller<G> {
    pub(crate) db: PgPool,
    pub(crate) gateway: Arc<G>,
    pub(crate) outcomes: Writes<Outcomes>,
    /// Told when there are new calls to make.
    pub(crate) due: Arc<Notify>,
    /// Of one call.
    pub(crate) timeout: Duration,
    /// Calls under way at the same time.
    pub(crate) calls_max: u16,
}

/// What `/metrics` says of what is counted here.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        "gateway_calls_total",
        Unit::Count,
        "Calls of the payment gateway, by whether it answered."
    );
}

impl<G: Gateway> Caller<G> {
    /// Makes the calls that are due until the process stops. What is under way then is given up:
    /// it is due again when its lease is over.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut calls = JoinSet::new();
        loop {
            // What the gateway says must be written down: not by who only stands by.
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.outcomes.ready() => {}
            }
            while let Some(ended) = calls.try_join_next() {
                note_end(ended);
            }
            let room = usize::from(self.calls_max).saturating_sub(calls.len());
            let due = self.take_due(room).await;
            // There may be more: look again as soon as there is room.
            let is_full = due.len() == room;
            for call in due {
                calls.spawn(self.call(call));
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = calls.join_next(), if is_full => note_end(ended),
                () = self.due.notified(), if !is_full => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        calls.shutdown().await;
        Ok(())
    }

    async fn take_due(&self, limit: usize) -> Vec<Call> {
        if limit == 0 {
            return Vec::new();
        }
        let lease = self.timeout + LEASE_MARGIN;
        store::take_due(&self.db, limit, lease).await.unwrap_or_else(|error| {
            warn!(%error, "looking for calls of the gateway");
            Vec::new()
        })
    }

    fn call(&self, call: Call) -> impl Future<Output = ()> + Send + use<G> {
        let (gateway, outcomes) = (Arc::clone(&self.gateway), self.outcomes.clone());
        let timeout = self.timeout;
        async move {
            let asked = tokio::time::timeout(timeout, ask(&*gateway, &call));
            let said = asked.await.unwrap_or_else(|_| Err(Unavailable("no answer".to_owned())));
            let kind = call.kind.label();
            let order_id = call.charge.order_id;
            let try_number = call.charge.try_number;
            let result = if said.is_ok() { "answered" } else { "unavailable" };
            metrics::counter!("gateway_calls_total", "call" => kind, "result" => result)
                .increment(1);
            let said = said.unwrap_or_else(|unavailable| {
                debug!(%order_id, call = kind, try_number, %unavailable, "gateway unavailable");
                Said::Unavailable
            });
            let result = CallResult { order_id, try_number, said };
            if let Err(error) = outcomes.write(result).await {
                // The lease runs out, and the gateway is asked again.
                warn!(%order_id, call = kind, %error, "what the gateway said is not written");
            }
        }
    }
}

async fn ask<G: Gateway>(gateway: &G, call: &Call) -> Result<Said, Unavailable> {
    let Call { kind, charge, number } = call;
    match kind {
        CallKind::Authorize => gateway.authorize(charge).await.map(Said::Authorization),
        CallKind::Capture => gateway.capture(charge, number).await.map(|()| Said::Captured),
        CallKind::Void => gateway.void(charge, number).await.map(|()| Said::Voided),
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "a call of the gateway broke");
    }
}

impl CallKind {
    fn label(self) -> &'static str {
        match self {
            CallKind::Authorize => "authorize",
            CallKind::Capture => "capture",
            CallKind::Void => "void",
        }
    }
}
