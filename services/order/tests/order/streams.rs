use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proto::order::{
    ApproveOrder, CancelOrderRequest, OrderStatus, PlaceOrderRequest, RejectOrder, Submission,
    SubmitAndFollowRequest, SubmitAndFollowResponse, SubmitOrdersRequest, WatchOrderRequest,
    submission, submit_and_follow_response::Outcome,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{iter, wrappers::ReceiverStream};
use tonic::Code;

use crate::world::{PATIENCE, line, place, request, world};

#[tokio::test]
async fn who_watches_sees_every_change_until_the_order_is_decided() {
    let world = world().await;
    let mut client = world.client().await;
    let order_id = place(&mut client, request()).await.unwrap().order_id;
    let watch = WatchOrderRequest { order_id: order_id.clone() };
    let mut states = client.watch_order(watch.clone()).await.unwrap().into_inner();
    let mut next = async || {
        let next = timeout(PATIENCE, states.message()).await.unwrap().unwrap();
        next.map(|state| state.order.unwrap())
    };
    assert_eq!(next().await.unwrap().status(), OrderStatus::Pending);
    let cancel = CancelOrderRequest { order_id: order_id.clone(), reason: "no".to_owned() };
    client.cancel_order(cancel).await.unwrap();
    assert_eq!(next().await.unwrap().status(), OrderStatus::Cancelling);
    let reject = RejectOrder { order_id: order_id.clone(), reason: String::new() };
    world.ask(&order_id, &reject).await;
    let last = next().await.unwrap();
    assert_eq!((last.status(), last.reason.as_str()), (OrderStatus::Cancelled, "no"));
    assert!(last.decided_at.is_some());
    assert_eq!(next().await, None);

    // What is decided is told, and that is all.
    let mut states = client.watch_order(watch).await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().order.unwrap(), last);
    assert_eq!(states.message().await.unwrap(), None);
}

#[tokio::test]
async fn watching_what_is_not_there_is_refused() {
    let mut client = world().await.client().await;
    for (id, code) in
        [("0198c0de-0000-7000-8000-000000000000", Code::NotFound), ("no id", Code::InvalidArgument)]
    {
        let watch = client.watch_order(WatchOrderRequest { order_id: id.to_owned() }).await;
        assert_eq!(watch.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn many_orders_are_answered_in_the_order_of_the_requests() {
    let mut client = world().await.client().await;
    let mut requests: Vec<PlaceOrderRequest> = (0..300).map(|_| request()).collect();
    requests.push(requests[0].clone());
    requests.push(PlaceOrderRequest { lines: vec![line("SKU-1", 9)], ..requests[1].clone() });
    requests.push(PlaceOrderRequest { lines: vec![line("SKU-404", 9)], ..request() });
    let ids: Vec<String> = requests.iter().map(|request| request.request_id.clone()).collect();
    let mut stream: Vec<_> =
        requests.into_iter().map(|order| SubmitOrdersRequest { order: Some(order) }).collect();
    stream.push(SubmitOrdersRequest { order: None });

    let answer = client.submit_orders(iter(stream)).await.unwrap().into_inner();
    let submissions = answer.submissions;
    assert_eq!(submissions.len(), 304);
    assert!(submissions.iter().zip(&ids).all(|(submission, id)| &submission.request_id == id));
    let order_id = |submission: &Submission| match &submission.outcome {
        Some(submission::Outcome::OrderId(id)) => id.clone(),
        other => panic!("{other:?}"),
    };
    let refusal = |submission: &Submission| match &submission.outcome {
        Some(submission::Outcome::Refusal(refusal)) => (refusal.code, refusal.reason.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(order_id(&submissions[300]), order_id(&submissions[0]));
    let invalid = Code::InvalidArgument as i32;
    assert_eq!(
        refusal(&submissions[301]),
        (Code::AlreadyExists as i32, "REQUEST_ID_REUSED".to_owned())
    );
    assert_eq!(refusal(&submissions[302]), (invalid, "UNKNOWN_SKU".to_owned()));
    assert_eq!(refusal(&submissions[303]), (invalid, "INVALID_ARGUMENT".to_owned()));
}

#[tokio::test]
async fn who_follows_is_answered_when_an_order_is_taken_and_when_it_has_ended() {
    let world = world().await;
    let mut client = world.client().await;
    let (sender, requests) = mpsc::channel(8);
    let mut answers =
        client.submit_and_follow(ReceiverStream::new(requests)).await.unwrap().into_inner();
    let mut next = async || {
        let next = timeout(PATIENCE, answers.message()).await.unwrap().unwrap();
        next.map(|SubmitAndFollowResponse { request_id, outcome }| (request_id, outcome.unwrap()))
    };
    let send = async |order: &PlaceOrderRequest| {
        sender.send(SubmitAndFollowRequest { order: Some(order.clone()) }).await.unwrap();
    };
    let order = |answer: Option<(String, Outcome)>| match answer {
        Some((request_id, Outcome::Order(order))) => (request_id, order),
        other => panic!("{other:?}"),
    };

    let (one, two, bad) = (request(), request(), PlaceOrderRequest { lines: vec![], ..request() });
    send(&one).await;
    let (_, first) = order(next().await);
    assert_eq!(first.status(), OrderStatus::Pending);
    send(&bad).await;
    match next().await.unwrap() {
        (request_id, Outcome::Refusal(refusal)) => {
            assert_eq!((request_id, refusal.reason.as_str()), (bad.request_id, "INVALID_ARGUMENT"));
        }
        other => panic!("{other:?}"),
    }
    send(&two).await;
    let (_, second) = order(next().await);

    // They end in another order than they were taken in.
    world
        .ask(
            &second.order_id,
            &RejectOrder { order_id: second.order_id.clone(), reason: "no".to_owned() },
        )
        .await;
    let (request_id, ended) = order(next().await);
    assert_eq!(
        (request_id, ended.status(), ended.reason.as_str()),
        (two.request_id.clone(), OrderStatus::Cancelled, "no")
    );
    world.ask(&first.order_id, &ApproveOrder { order_id: first.order_id.clone() }).await;
    let (request_id, ended) = order(next().await);
    assert_eq!((request_id, ended.status()), (one.request_id.clone(), OrderStatus::Confirmed));

    // The same request again: taken as it was, ended as it has.
    send(&two).await;
    drop(sender);
    assert_eq!(order(next().await).1, second);
    assert_eq!(order(next().await).1.status(), OrderStatus::Cancelled);
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn who_does_not_read_is_not_read_from_for_ever() {
    let mut client = world().await.client().await;
    let (sender, requests) = mpsc::channel(1);
    let _answers = client.submit_and_follow(ReceiverStream::new(requests)).await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        let next = || SubmitAndFollowRequest { order: Some(request()) };
        while sender.send(next()).await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });

    // It reads up to its limit and what the transport buffers; then no more, however much others
    // get done meanwhile.
    let mut other = world().await.client().await;
    let (mut taken, mut has_stopped) = (0, false);
    while !has_stopped {
        for _ in 0..OTHERS {
            place(&mut other, request()).await.unwrap();
        }
        let now = sent.load(Ordering::Relaxed);
        has_stopped = now == taken && now >= FOLLOWED_MIN;
        taken = now;
        assert!(taken < READ_MAX, "{taken} were read, and not one answer");
    }
}

/// Orders that others place while nothing more is read from who does not read.
const OTHERS: usize = 50;
/// What it may have open at once, at least.
const FOLLOWED_MIN: usize = 1_024;
/// More than what it may have open and what the transport buffers.
const READ_MAX: usize = 20_000;
