//! Sagas as they move, for one watcher.

use std::{sync::Arc, time::Duration};

use proto::saga as pb;
use sqlx::PgPool;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    movements::{Moved, Movements},
    queries, view,
};

/// Messages that wait for a slow client. Then it is waited for, and may miss movements.
pub(crate) const WAITING_MAX: usize = 64;
/// Another coordinator may have moved the saga that is watched: looked up this often.
const LOOK_UP: Duration = Duration::from_millis(500);

/// Which sagas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) ended_only: bool,
    pub(crate) definition: String,
}

impl Wanted {
    fn takes(&self, moved: &Moved) -> bool {
        (!self.ended_only || moved.instance.has_ended())
            && (self.definition.is_empty() || self.definition == moved.instance.version.saga)
    }
}

type Sender = mpsc::Sender<Result<pb::WatchSagasResponse, Status>>;

/// All sagas, until the client goes or the process stops.
pub(crate) async fn all(
    movements: Movements,
    wanted: Wanted,
    sender: Sender,
    shutdown: CancellationToken,
) {
    let mut heard = movements.watch();
    loop {
        let response = tokio::select! {
            received = heard.recv() => match received {
                Ok(moved) => respond(&moved, &wanted),
                Err(RecvError::Lagged(_)) => {
                    pb::WatchSagasResponse { sagas: Vec::new(), moves_missed: true }
                }
                Err(RecvError::Closed) => return,
            },
            () = shutdown.cancelled() => return,
            () = sender.closed() => return,
        };
        if (response.moves_missed || !response.sagas.is_empty())
            && sender.send(Ok(response)).await.is_err()
        {
            return;
        }
    }
}

fn respond(moved: &Arc<Vec<Moved>>, wanted: &Wanted) -> pb::WatchSagasResponse {
    let sagas = moved.iter().filter(|moved| wanted.takes(moved)).map(view::moved).collect();
    pb::WatchSagasResponse { sagas, moves_missed: false }
}

/// One saga, as it is and at each movement, until it has ended; or nothing but its end.
pub(crate) async fn one(
    db: PgPool,
    movements: Movements,
    id_or_key: String,
    ended_only: bool,
    sender: Sender,
    shutdown: CancellationToken,
) {
    let mut heard = movements.watch();
    let mut seen = 0;
    loop {
        let response = match queries::find(&db, &id_or_key).await {
            Ok(Some(found)) if found.instance.revision > seen => {
                seen = found.instance.revision;
                let saga = view::saga(&found.times(), found.id, &found.key, &found.instance);
                Some(Ok((saga, found.instance.has_ended())))
            }
            Ok(_) => None,
            Err(error) => Some(Err(bootstrap::Problem::from(error).into())),
        };
        match response {
            Some(Ok((_, false))) if ended_only => {}
            Some(Ok((saga, ended))) => {
                let response = pb::WatchSagasResponse { sagas: vec![saga], moves_missed: false };
                if sender.send(Ok(response)).await.is_err() || ended {
                    return;
                }
            }
            Some(Err(status)) => {
                // The client sees why its watch ends, if it is still there.
                sender.send(Err(status)).await.ok();
                return;
            }
            None => {}
        }
        let look_up_at = Instant::now() + LOOK_UP;
        let is_it = |moved: &Moved| moved.key == id_or_key || moved.id.to_string() == id_or_key;
        loop {
            tokio::select! {
                received = heard.recv() => match received {
                    Ok(moved) if moved.iter().any(is_it) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(look_up_at) => break,
                () = shutdown.cancelled() => return,
                () = sender.closed() => return,
            }
        }
    }
}
