//! Follows one saga from its beginning to its end, moment by moment.

use std::time::Duration;

use proto::saga::{GetSagaRequest, GetSagaResponse};
use tokio::time::Instant;
use tonic::Code;

use crate::{
    clients::Sagas,
    failure::Failure,
    story::{self, Moment},
};

/// Tells each moment of the saga as it comes, until the saga has ended.
///
/// The saga may not have begun yet: it is waited for as long as an order usually takes, and longer.
pub(crate) async fn follow(
    sagas: &Sagas,
    id: &str,
    mut tell: impl FnMut(&Moment) -> Result<(), Failure>,
) -> Result<GetSagaResponse, Failure> {
    let asked_at = Instant::now();
    let mut told = 0;
    loop {
        let request = GetSagaRequest { id: id.to_owned() };
        match sagas.try_ask(request, async |mut api, request| api.get_saga(request).await).await {
            Ok(story) => {
                let moments = story::timeline(&story);
                for moment in moments.iter().filter(|moment| moment.revision > told) {
                    tell(moment)?;
                }
                told = moments.last().map_or(told, |moment| moment.revision.max(told));
                if story.saga.as_ref().is_some_and(story::has_ended) {
                    return Ok(story);
                }
            }
            Err(status)
                if status.code() == Code::NotFound && asked_at.elapsed() < BEGIN_PATIENCE => {}
            Err(status) => return Err(sagas.failure(&status)),
        }
        // Close looks while things move fast, rare ones while a card or a person is waited for.
        let pause = if asked_at.elapsed() < FAST_FOR { FAST_PAUSE } else { SLOW_PAUSE };
        tokio::time::sleep(pause).await;
    }
}

const BEGIN_PATIENCE: Duration = Duration::from_secs(15);
const FAST_FOR: Duration = Duration::from_secs(2);
const FAST_PAUSE: Duration = Duration::from_millis(10);
const SLOW_PAUSE: Duration = Duration::from_millis(200);
