//! What operators may do to a saga, through real processes.

use proto::saga::{self, SagaStatus};
use system_tests::{Order, Shop};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn operators_pause_resume_and_cancel() {
    let shop = Shop::open("operators").await;
    let mut sagas = shop.sagas().await;

    // The gateway is silent: the saga waits, and can still go back.
    let id = shop.place(Order::of("SKU-1", 1).paid_with("tok_silent")).await;
    shop.saga_that(&id, |found| waits_only_for(found, "authorize-payment")).await;

    let paused = sagas.pause_saga(pause(&id, "pause-1")).await.unwrap().into_inner();
    assert_eq!(paused.saga.unwrap().status(), SagaStatus::Paused);
    // The same request again is done once; another one is told that there is nothing to do.
    let again = sagas.pause_saga(pause(&id, "pause-1")).await.unwrap().into_inner();
    assert_eq!(again.saga.unwrap().status(), SagaStatus::Paused);
    let refused = sagas.pause_saga(pause(&id, "pause-2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let request = saga::ResumeSagaRequest {
        id: id.clone(),
        by: "ann".to_owned(),
        reason: "a test".to_owned(),
        request_id: "resume-1".to_owned(),
    };
    let resumed = sagas.resume_saga(request).await.unwrap().into_inner();
    assert_eq!(resumed.saga.unwrap().status(), SagaStatus::Running);

    let request = saga::CancelSagaRequest {
        id: id.clone(),
        by: "ann".to_owned(),
        reason: "customer called".to_owned(),
        request_id: "cancel-1".to_owned(),
    };
    sagas.cancel_saga(request).await.unwrap();
    let ended = shop.ended(&id).await;
    let verbs: Vec<&str> = ended
        .journal
        .iter()
        .filter(|entry| entry.happened == "intervened")
        .map(|entry| entry.verb.as_str())
        .collect();
    assert_eq!(verbs, ["pause", "resume", "cancel"]);
    let saga = ended.saga.unwrap();
    assert_eq!(saga.status(), SagaStatus::Compensated);
    assert_eq!(saga.cause, "cancelled by ann: customer called");
    shop.decided(&id).await;
    shop.books().await.balance();

    // What has ended cannot be moved, and what is unknown is not found.
    assert_eq!(
        sagas.pause_saga(pause(&id, "late")).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(sagas.pause_saga(pause("nobody", "none")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(
        sagas.pause_saga(pause("", "empty")).await.unwrap_err().code(),
        Code::InvalidArgument
    );

    // Lists find it by what went wrong, and refuse a token that is not theirs.
    let list = saga::ListSagasRequest { error: "customer called".to_owned(), ..Default::default() };
    let found = sagas.list_sagas(list).await.unwrap().into_inner().sagas;
    assert_eq!(found.iter().map(|saga| saga.key.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let list = saga::ListSagasRequest { page_token: "made-up".to_owned(), ..Default::default() };
    assert_eq!(sagas.list_sagas(list).await.unwrap_err().code(), Code::InvalidArgument);
}

fn waits_only_for(found: &saga::GetSagaResponse, step: &str) -> bool {
    found.saga.as_ref().is_some_and(|saga| saga.waits_for == [step])
}

fn pause(id: &str, request_id: &str) -> saga::PauseSagaRequest {
    saga::PauseSagaRequest {
        id: id.to_owned(),
        by: "ann".to_owned(),
        reason: "a test".to_owned(),
        request_id: request_id.to_owned(),
    }
}
