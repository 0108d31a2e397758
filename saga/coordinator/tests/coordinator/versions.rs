//! Another build starts where a saga of the former one is under way.

use proto::saga::{RetryStepRequest, SagaStatus};
use saga_coordinator::{Config, run_sagas};
use saga_core::Registry;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    brief::{self, brief, longer},
    participants::Participants,
    process::{Coordinator, PATIENCE, config, once},
};

#[tokio::test]
async fn a_build_that_does_not_know_a_saga_under_way_refuses_to_start() {
    let config = config(&["--resend-after-ms", "600000"]).await;
    let (former, _) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let order = Uuid::now_v7().to_string();
    participants.publish_placed(&order).await;
    let asked = participants.asked("authorize-payment").await;
    former.stop().await;

    let version = brief().version().clone();
    assert_ne!(longer().version(), &version);
    let only_longer = || Registry::default().current(longer());
    let start = tokio::spawn(run_sagas(only_longer(), config.clone(), CancellationToken::new()));
    let refused = timeout(PATIENCE, start).await.unwrap().unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(&format!("1 sagas of {version}")), "{refused}");
    assert!(refused.contains("--allow-unregistered"), "{refused}");

    // Told to, it starts: the saga waits.
    let lenient = Config { allow_unregistered: true, ..config.clone() };
    let (ignorant, mut client) = Coordinator::start(only_longer(), &lenient).await;
    participants.succeed(&asked).await;
    let stuck = once(&mut client, &order, SagaStatus::Stuck).await;
    assert!(!stuck.journal_agrees);
    let saga = stuck.saga.unwrap();
    assert_eq!(saga.version, version.hash);
    assert_eq!(saga.stuck_reason, format!("{version} is not registered"));
    let after = Uuid::now_v7().to_string();
    participants.agree();
    participants.publish_placed(&after).await;
    let done = once(&mut client, &after, SagaStatus::Completed).await.saga.unwrap();
    assert_eq!(done.version, longer().version().hash);
    ignorant.stop().await;

    // One that knows both goes on with it, as it was defined then.
    let both = only_longer().former(brief());
    let (knowing, mut client) = Coordinator::start(both, &config).await;
    let retry = RetryStepRequest {
        id: order.clone(),
        by: "ada".to_owned(),
        reason: "its version is back".to_owned(),
        request_id: "1".to_owned(),
    };
    client.retry_step(retry).await.unwrap();
    let done = once(&mut client, &order, SagaStatus::Completed).await;
    assert!(done.journal_agrees);
    assert_eq!((done.saga.unwrap().version, done.steps.len()), (version.hash, 3));
    knowing.stop().await;
}
