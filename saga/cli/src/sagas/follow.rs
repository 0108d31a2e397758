//! Follows one saga from its beginning to its end, moment by moment.

use std::time::Duration;

use proto::saga::{GetSagaRequest, GetSagaResponse, Saga, SagaStatus};
use tokio::time::Instant;
use tonic::Code;

use crate::{
    advice::here,
    clients::Sagas,
    failure::{self, Failure},
    output::talk,
    story::{self, Moment},
    units,
};

/// Tells each moment of the saga as it comes, until the saga has ended; one that is stuck is a
/// check that did not hold.
///
/// The saga may not have begun yet: it is waited for as long as an order usually takes, and longer.
pub(crate) async fn follow(
    sagas: &Sagas,
    id: &str,
    mut tell: impl FnMut(&Moment) -> Result<(), Failure>,
) -> Result<GetSagaResponse, Failure> {
    let asked_at = Instant::now();
    let mut answered_at = asked_at;
    let mut told = 0;
    let mut was_paused = false;
    loop {
        let request = GetSagaRequest { id: id.to_owned() };
        match sagas.try_ask(request, async |mut api, request| api.get_saga(request).await).await {
            Ok(story) => {
                answered_at = Instant::now();
                let moments = story::timeline(&story);
                for moment in moments.iter().filter(|moment| moment.revision > told) {
                    tell(moment)?;
                }
                told = moments.last().map_or(told, |moment| moment.revision.max(told));
                let saga = story.saga.clone().unwrap_or_default();
                if story::has_ended(&saga) {
                    return Ok(story);
                }
                check_moves(&saga)?;
                let is_paused = saga.status() == SagaStatus::Paused;
                if is_paused && !was_paused {
                    talk(&story::sentence(&story, &units::now()));
                }
                was_paused = is_paused;
            }
            Err(status)
                if status.code() == Code::NotFound && asked_at.elapsed() < BEGIN_PATIENCE => {}
            // It may be starting again.
            Err(status)
                if failure::code(&status) == Code::Unavailable
                    && answered_at.elapsed() < AWAY_PATIENCE => {}
            Err(status) => return Err(sagas.failure(&status)),
        }
        // Close looks while things move fast, rare ones while a card or a person is waited for.
        let pause = if asked_at.elapsed() < FAST_FOR { FAST_PAUSE } else { SLOW_PAUSE };
        tokio::time::sleep(pause).await;
    }
}

/// Ends only when the saga is stuck, or the coordinator, without which nothing moves, stays away; whoever
/// watches the order sees anything else.
pub(crate) async fn until_stuck(sagas: &Sagas, id: &str) -> Failure {
    let mut answered_at = Instant::now();
    loop {
        tokio::time::sleep(SLOW_PAUSE).await;
        let request = GetSagaRequest { id: id.to_owned() };
        let asked = sagas.try_ask(request, async |mut api, request| api.get_saga(request).await);
        match asked.await {
            Err(status) if failure::code(&status) == Code::Unavailable => {
                if answered_at.elapsed() >= AWAY_PATIENCE {
                    return sagas.failure(&status);
                }
                continue;
            }
            Ok(GetSagaResponse { saga: Some(saga), .. }) => {
                if let Err(stuck) = check_moves(&saga) {
                    return stuck;
                }
            }
            Ok(_) | Err(_) => {}
        }
        answered_at = Instant::now();
    }
}

/// Only a person can move a stuck saga: waiting for it would be in vain.
pub(super) fn check_moves(saga: &Saga) -> Result<(), Failure> {
    if saga.status() != SagaStatus::Stuck {
        return Ok(());
    }
    let what = format!("the saga is stuck: {}: {}", saga.stuck_step, saga.stuck_reason);
    let show = here(&format!("show {}", saga.saga_id));
    let retry = here(&format!("retry {} --reason …", saga.saga_id));
    let next = format!("{show} tells more; once the cause is mended, {retry}");
    Err(Failure::check(what).next(next))
}

const BEGIN_PATIENCE: Duration = Duration::from_secs(15);
const AWAY_PATIENCE: Duration = Duration::from_secs(5);
const FAST_FOR: Duration = Duration::from_secs(2);
const FAST_PAUSE: Duration = Duration::from_millis(10);
const SLOW_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{Addresses, Clients};

    #[tokio::test]
    async fn an_order_is_not_watched_for_ever_without_a_coordinator() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let clients = Clients::at(Addresses::from_port_base(port), AWAY_PATIENCE);
        let failure = until_stuck(&clients.sagas().unwrap(), "7").await;
        assert_eq!(failure.exit_code(), 5, "{}", failure.text());
    }

    #[test]
    fn a_stuck_saga_is_not_followed_any_further() {
        let saga = |status: SagaStatus| Saga {
            saga_id: "7".to_owned(),
            status: status.into(),
            ..Saga::default()
        };
        assert!(check_moves(&saga(SagaStatus::Running)).is_ok());
        assert!(check_moves(&saga(SagaStatus::Paused)).is_ok());
        assert_eq!(check_moves(&saga(SagaStatus::Stuck)).unwrap_err().exit_code(), 7);
    }
}
