//! The calls that are streams. What is under way in each is limited, and a caller who does not read
//! or sends too fast is not read from: nothing is queued without bound.

use std::{future, sync::Arc, time::Duration};

use bootstrap::{Problem, checks};
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use prost::Message;
use proto::order::{
    PlaceOrderRequest, Submission, SubmitAndFollowRequest, SubmitAndFollowResponse,
    SubmitOrdersRequest, WatchOrderResponse, submission, submit_and_follow_response,
};
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Orders, answers::refusal};
use crate::{
    changes::Following,
    domain::{self, Order},
    placing::Placing,
};

/// Requests of one stream that wait for being taken.
const SUBMITTING_MAX: usize = 256;
/// Requests of one `SubmitOrders`, and bytes of its answer: clients take messages of 4 MiB.
const SUBMISSIONS_MAX: usize = 10_000;
const ANSWER_BYTES_MAX: usize = 4_000_000;
/// What stands before each submission in the answer, at most.
const FRAME_BYTES: usize = 8;
/// How long a caller whose stream is to be answered at its end may take for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Orders of one `SubmitAndFollow` that have not ended.
const FOLLOWED_MAX: usize = 1_024;
/// How often, and after what pause, a stream tries again when too many requests wait.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

impl Orders {
    /// The order as it is, then each change until it is decided.
    pub(super) async fn watch(
        &self,
        order_id: Uuid,
    ) -> Result<BoxStream<'static, Result<WatchOrderResponse, Status>>, Problem> {
        let following = self.changes.follow(order_id)?;
        let order = self.order(order_id).await?;
        let answer = |order: Order| Ok(WatchOrderResponse { order: Some(order.into()) });
        Ok(states(order, following).map(answer).boxed())
    }

    /// Takes all orders of the stream; what became of each, in the order of the requests.
    pub(super) async fn submit(
        &self,
        requests: Streaming<SubmitOrdersRequest>,
    ) -> Result<Vec<Submission>, Status> {
        let submitted = without_long_pauses(requests).map(|request| async move {
            let request = request?.order.unwrap_or_default();
            let request_id = echoed(&request);
            let outcome = match self.submit_one(request).await {
                Ok(order) => submission::Outcome::OrderId(order.id.to_string()),
                Err(problem) => submission::Outcome::Refusal(refusal(problem)),
            };
            Ok::<_, Status>(Submission { request_id, outcome: Some(outcome) })
        });
        let mut submitted = std::pin::pin!(submitted.buffered(SUBMITTING_MAX));
        let mut answer = Answer::default();
        while let Some(submission) = submitted.try_next().await? {
            answer.push(submission)?;
        }
        Ok(answer.submissions)
    }

    async fn submit_one(&self, request: PlaceOrderRequest) -> Result<Order, Problem> {
        self.place_patiently(&Arc::new(Placing::parse(request)?)).await
    }

    /// A stream can wait: its caller is slowed down instead of turned away.
    async fn place_patiently(&self, placing: &Arc<Placing>) -> Result<Order, Problem> {
        for _ in 0..BUSY_TRIES {
            match self.place(Arc::clone(placing)).await {
                Err(Problem::Busy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
                done => return done,
            }
        }
        self.place(Arc::clone(placing)).await
    }

    /// Takes the orders of the stream, and answers as each is taken and has ended.
    pub(super) fn follow_all(
        self,
        requests: Streaming<SubmitAndFollowRequest>,
    ) -> BoxStream<'static, Result<SubmitAndFollowResponse, Status>> {
        let follow = move |request: Result<SubmitAndFollowRequest, Status>| match request {
            Ok(request) => self.clone().follow(request.order.unwrap_or_default()).boxed(),
            Err(status) => stream::once(future::ready(Err(status))).boxed(),
        };
        requests.map(follow).flatten_unordered(FOLLOWED_MAX).boxed()
    }

    fn follow(
        self,
        request: PlaceOrderRequest,
    ) -> impl Stream<Item = Result<SubmitAndFollowResponse, Status>> + Send + 'static {
        let request_id = echoed(&request);
        let outcomes = async move {
            match self.submit_and_follow_one(request).await {
                Ok((order, following)) => states(order, following)
                    // The customer's wish to cancel is not an end.
                    .filter(|order| future::ready(order.status != domain::Status::Cancelling))
                    .map(|order| submit_and_follow_response::Outcome::Order(order.into()))
                    .left_stream(),
                Err(problem) => {
                    let refused = submit_and_follow_response::Outcome::Refusal(refusal(problem));
                    stream::once(future::ready(refused)).right_stream()
                }
            }
        };
        outcomes.flatten_stream().map(move |outcome| {
            let request_id = request_id.clone();
            Ok(SubmitAndFollowResponse { request_id, outcome: Some(outcome) })
        })
    }

    async fn submit_and_follow_one(
        &self,
        request: PlaceOrderRequest,
    ) -> Result<(Order, Following), Problem> {
        let placing = Arc::new(Placing::parse(request)?);
        // Before it is placed: afterwards it may have ended already.
        let following = self.changes.follow(placing.order_id)?;
        let order = self.place_patiently(&placing).await?;
        if order.id == placing.order_id {
            return Ok((order, following));
        }
        // It was placed earlier, and what came of it since then has been told.
        let following = self.changes.follow(order.id)?;
        let now = self.order(order.id).await?;
        self.changes.tell(vec![now.as_change()]);
        Ok((order, following))
    }
}

/// A stream of requests that ends with an error when its caller does not go on.
fn without_long_pauses<T>(
    requests: impl Stream<Item = Result<T, Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    stream::try_unfold(Box::pin(requests), |mut requests| async move {
        match tokio::time::timeout(IDLE_MAX, requests.try_next()).await {
            Ok(next) => Ok(next?.map(|request| (request, requests))),
            Err(_) => Err(too_slow().into()),
        }
    })
}

/// The request's id, as much of it as an id can have: it is said even if it is none.
fn echoed(request: &PlaceOrderRequest) -> String {
    request.request_id.chars().take(checks::MAX_REQUEST_ID_LENGTH).collect()
}

/// What became of the requests of one stream, as far as one message can tell it.
#[derive(Default)]
struct Answer {
    submissions: Vec<Submission>,
    byte_count: usize,
}

impl Answer {
    fn push(&mut self, submission: Submission) -> Result<(), Problem> {
        self.byte_count += submission.encoded_len() + FRAME_BYTES;
        if self.submissions.len() == SUBMISSIONS_MAX || self.byte_count > ANSWER_BYTES_MAX {
            return Err(too_many());
        }
        self.submissions.push(submission);
        Ok(())
    }
}

/// An order as it is, then after each change, until it is decided. With the last one nobody follows
/// any more, even if it is not read for long.
fn states(order: Order, following: Following) -> impl Stream<Item = Order> + Send + 'static {
    let first = Some((order, following, false));
    stream::unfold(first, |state| async move {
        let (mut order, mut following, is_told) = state?;
        if is_told {
            while !order.apply(&*following.next().await) {}
        }
        let goes_on = !order.status.is_decided();
        Some((order.clone(), goes_on.then_some((order, following, true))))
    })
}

fn too_slow() -> Problem {
    Problem::DeadlineExceeded {
        description: format!(
            "no request came for {IDLE_MAX:?}; what was read is taken: send the same requests \
             again to get the answers"
        ),
    }
}

fn too_many() -> Problem {
    Problem::InvalidArgument {
        reason: "TOO_MANY_REQUESTS",
        violations: vec![(
            "stream".to_owned(),
            format!(
                "has more than {SUBMISSIONS_MAX} requests, or more to answer than a message can \
                 hold; what was read is taken: send the same \
                 requests again in several streams to get the answers"
            ),
        )],
    }
}

#[cfg(test)]
mod tests;
