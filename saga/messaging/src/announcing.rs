//! Announces again what nobody decides. What was announced stands in Postgres, but others hear of it
//! by a record in Kafka: should that one be lost, this begins it all the same. A saga begins once for
//! each key, so announcing too often does no harm.

use std::{convert::Infallible, time::Duration};

use sqlx::{FromRow, PgConnection, query_as};
use tracing::{info, warn};

use crate::{Error, Message, Messaging, Tx, Writer, Writes, writer::NotWritten};

/// Events that are announced again in one transaction.
const ANNOUNCE_LIMIT: i64 = 500;
/// The longest pause between two times, unless the first one is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often to look.
const SHORTEST_ROUND: Duration = Duration::from_millis(50);
const LONGEST_ROUND: Duration = Duration::from_secs(2);

pub(crate) async fn run(messaging: &Messaging, after: Duration) -> Result<(), Error> {
    let announcer = Announcer { after, announced: Vec::new() };
    let (writes, writing) = messaging.writer("announcing", announcer);
    let round = (after / 4).clamp(SHORTEST_ROUND, LONGEST_ROUND);
    tokio::select! {
        ended = writing => ended,
        never = ask(&writes, round) => match never {},
    }
}

async fn ask(writes: &Writes<Announcer>, round: Duration) -> Infallible {
    let mut ticks = tokio::time::interval(round);
    loop {
        ticks.tick().await;
        // While another process has the lane, that one announces.
        writes.ready().await;
        match writes.write(()).await {
            // Who writes says why it ended.
            Ok(()) | Err(NotWritten::Stopping) => {}
            Err(error) => warn!(%error, "announcing again what is not decided"),
        }
    }
}

struct Announcer {
    after: Duration,
    /// What was announced by the transaction under way: full names.
    announced: Vec<String>,
}

impl Writer for Announcer {
    type Request = ();
    type Response = ();

    async fn write(&mut self, tx: &mut Tx<'_>, requests: &[()]) -> Result<Vec<()>, Error> {
        for Undecided { kind, key, topic, payload } in take_due(tx, self.after).await? {
            self.announced.push(kind.clone());
            tx.send(Message::told(tx.source(), &key, topic, kind, payload))?;
        }
        Ok(requests.to_vec())
    }

    fn ended(&mut self, committed: bool) {
        let announced = std::mem::take(&mut self.announced);
        if !committed || announced.is_empty() {
            return;
        }
        info!(event_count = announced.len(), "announced again what is not decided");
        for kind in announced {
            metrics::counter!("events_announced_again_total", "kind" => kind).increment(1);
        }
    }
}

#[derive(FromRow)]
struct Undecided {
    kind: String,
    key: String,
    topic: String,
    payload: Vec<u8>,
}

/// What should have been decided by now; each is due the next time after twice the pause. What
/// another transaction is deciding at this moment is left out.
async fn take_due(
    connection: &mut PgConnection,
    first_pause: Duration,
) -> Result<Vec<Undecided>, Error> {
    let due = query_as(
        "WITH due AS MATERIALIZED (
            SELECT kind, key FROM outbox_undecided
            WHERE waiting_since <= now() - make_interval(secs => $1)
            ORDER BY waiting_since LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        UPDATE outbox_undecided AS undecided
        SET announce_count = announce_count + 1,
            waiting_since = now() + make_interval(
                secs => least($2, $1 * power(2, least(announce_count + 1, 20))) - $1)
        FROM due WHERE undecided.kind = due.kind AND undecided.key = due.key
        RETURNING undecided.kind, undecided.key, topic, payload",
    );
    let longest_pause = LONGEST_PAUSE.max(first_pause);
    let due = due.bind(first_pause.as_secs_f64()).bind(longest_pause.as_secs_f64());
    Ok(due.bind(ANNOUNCE_LIMIT).fetch_all(connection).await?)
}
