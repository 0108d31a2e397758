//! What is not an answer: deadlines that pass, sagas that are quiet, and operators.

use std::{sync::Arc, time::Duration};

use messaging::{Error, Tx, Writer, Writes, writer::NotWritten};
use saga_core::{Happened, Unmoved, Verb};
use sqlx::{query, query_as};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::{
    movements::Moved,
    store::{self, Known},
    turns::{Rules, Source, Turns},
};

/// How often to look for what is due.
const TICK: Duration = Duration::from_millis(100);
/// Sagas that are looked at in one transaction.
const DUE_MAX: i64 = 500;

/// A request to the operator's lane.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Look for what is due, at so many sagas at most.
    Wake {
        limit: i64,
    },
    /// Look at the first that is due a minute later.
    Postpone,
    Intervene(Intervention),
}

/// What an operator wants.
#[derive(Debug, Clone)]
pub(crate) struct Intervention {
    /// The saga's id, or its business key.
    pub(crate) id: String,
    pub(crate) verb: Verb,
    pub(crate) by: String,
    pub(crate) reason: String,
    /// The same id twice is done once.
    pub(crate) request_id: String,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    /// So many sagas were looked at.
    Woken(usize),
    /// It is done, now or by an earlier request of the same id.
    Intervened(Uuid),
    NotFound,
    NotAllowed(&'static str),
    /// The request's id was used for something else.
    RequestIdReused,
}

/// The operator's lane.
#[derive(Debug)]
pub(crate) struct Operator {
    rules: Arc<Rules>,
    /// Told to watchers once the transaction is committed.
    moved: Vec<Moved>,
}

impl Operator {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Operator { rules, moved: Vec::new() }
    }

    async fn wake(&mut self, tx: &mut Tx<'_>, limit: i64) -> Result<Done, Error> {
        let (now, due) = store::lock_due(tx, &Known::of(&self.rules.registry), limit).await?;
        let ids: Vec<Uuid> = due.iter().map(|row| row.id).collect();
        let mut turns = Turns::of(&self.rules, now, due);
        for id in &ids {
            turns.wake(*id);
        }
        self.moved.extend(turns.save(tx).await?);
        Ok(Done::Woken(ids.len()))
    }

    async fn postpone(&self, tx: &mut Tx<'_>) -> Result<Done, Error> {
        let known = Known::of(&self.rules.registry);
        if let Some(id) = store::postpone_first_due(tx, &known).await? {
            error!(saga.id = %id, "cannot be looked at, see the warnings before: a person has to");
        }
        Ok(Done::Woken(0))
    }

    async fn intervene(&mut self, tx: &mut Tx<'_>, wanted: &Intervention) -> Result<Done, Error> {
        let Some((now, row)) = store::lock(tx, &wanted.id).await? else {
            return Ok(Done::NotFound);
        };
        let id = row.id;
        let asked = format!("{:?}", wanted.verb);
        let before: Option<(Uuid, String)> =
            query_as("SELECT saga_id, asked FROM saga_intervention WHERE request_id = $1")
                .bind(&wanted.request_id)
                .fetch_optional(&mut **tx)
                .await?;
        match before {
            Some(before) if before == (id, asked.clone()) => return Ok(Done::Intervened(id)),
            Some(_) => return Ok(Done::RequestIdReused),
            None => {}
        }
        let mut turns = Turns::of(&self.rules, now, vec![row]);
        let Intervention { verb, by, reason, .. } = wanted.clone();
        match turns.hear(id, Happened::Intervened { verb, by, reason }, Source::default()) {
            Ok(()) => {}
            Err(Unmoved::NotAllowed(why)) => return Ok(Done::NotAllowed(why)),
            Err(Unmoved::AlreadyDealtWith) => return Ok(Done::Intervened(id)),
        }
        query("INSERT INTO saga_intervention (request_id, saga_id, asked) VALUES ($1, $2, $3)")
            .bind(&wanted.request_id)
            .bind(id)
            .bind(asked)
            .execute(&mut **tx)
            .await?;
        self.moved.extend(turns.save(tx).await?);
        Ok(Done::Intervened(id))
    }
}

impl Writer for Operator {
    type Request = Ask;
    type Response = Done;

    async fn write(&mut self, tx: &mut Tx<'_>, requests: &[Ask]) -> Result<Vec<Done>, Error> {
        self.moved.clear();
        let mut done = Vec::with_capacity(requests.len());
        for request in requests {
            done.push(match request {
                Ask::Wake { limit } => self.wake(tx, *limit).await?,
                Ask::Postpone => self.postpone(tx).await?,
                Ask::Intervene(wanted) => self.intervene(tx, wanted).await?,
            });
        }
        Ok(done)
    }

    fn ended(&mut self, committed: bool) {
        let moved = std::mem::take(&mut self.moved);
        if committed {
            self.rules.movements.tell(moved);
        }
    }
}

/// Looks for what is due, again and again, until the process stops.
pub(crate) async fn keep_waking(operator: Writes<Operator>, shutdown: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        // When there is more than fits into one transaction, the next one follows at once.
        let mut ask = Ask::Wake { limit: DUE_MAX };
        loop {
            ask = match (operator.write(ask.clone()).await, ask) {
                (Ok(Done::Woken(count)), Ask::Wake { limit }) if count as i64 >= limit => {
                    Ask::Wake { limit }
                }
                // One of them is to blame: it must not keep the others waiting.
                (Err(NotWritten::Failed(_)), Ask::Wake { limit: 1 }) => Ask::Postpone,
                (Err(NotWritten::Failed(_)), Ask::Wake { limit }) => Ask::Wake { limit: limit / 2 },
                (Ok(_), _) => break,
                (Err(error), _) => {
                    warn!(%error, "looking for what is due");
                    break;
                }
            }
        }
    }
}
