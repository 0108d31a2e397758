//! Another build starts where sagas of the former one are under way.

use proto::saga::{RetryStepRequest, SagaStatus};
use saga_coordinator::{Config, run_sagas};
use saga_core::Registry;
use sqlx::{PgPool, query};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    brief::{self, brief, longer},
    participants::Participants,
    process::{Coordinator, PATIENCE, config, once, until_number},
};

#[tokio::test]
async fn what_a_build_does_not_know_it_leaves_to_one_that_does() {
    // With one partition, what is published later is heard later.
    let config = config(&["--partitions", "1", "--resend-after-ms", "1000"]).await;
    let (former, _) = Coordinator::start(brief::registry(), &config).await;
    let mut participants = Participants::start(&config.common).await;
    let [order, forgotten] = [(); 2].map(|()| Uuid::now_v7().to_string());
    participants.publish_placed(&order).await;
    let asked = participants.asked("authorize-payment").await;
    participants.publish_placed(&forgotten).await;
    participants.next(|asked| asked.key == forgotten).await;
    former.stop().await;

    let version = brief().version().clone();
    assert_ne!(longer().version(), &version);
    let only_longer = || Registry::default().current(longer());
    let start = tokio::spawn(run_sagas(only_longer(), config.clone(), CancellationToken::new()));
    let refused = timeout(PATIENCE, start).await.unwrap().unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(&format!("sagas of {version} are under way (2)")), "{refused}");
    assert!(refused.contains("--allow-unregistered"), "{refused}");

    // Told to, it starts, and leaves them to a build that knows them.
    let lenient = Config { allow_unregistered: true, ..config.clone() };
    let (ignorant, mut client) = Coordinator::start(only_longer(), &lenient).await;
    participants.succeed(&asked).await;
    let after = Uuid::now_v7().to_string();
    participants.agree();
    participants.publish_placed(&after).await;
    let done = once(&mut client, &after, SagaStatus::Completed).await.saga.unwrap();
    assert_eq!(done.version, longer().version().hash);
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let due =
        "SELECT count(*) FROM saga WHERE ended_at IS NULL AND wake_at < now() - interval '1s'";
    until_number(&db, due, 2).await;
    let left = once(&mut client, &order, SagaStatus::Running).await.saga.unwrap();
    assert_eq!((left.version, left.revision), (version.hash.clone(), 1));

    // When none comes, it is a person's business.
    query("UPDATE saga SET wake_at = now() - interval '11 minutes' WHERE key = $1")
        .bind(&forgotten)
        .execute(&db)
        .await
        .unwrap();
    let stuck = once(&mut client, &forgotten, SagaStatus::Stuck).await;
    assert!(!stuck.journal_agrees);
    assert_eq!(stuck.saga.unwrap().stuck_reason, format!("{version} is not registered"));
    once(&mut client, &order, SagaStatus::Running).await;
    ignorant.stop().await;

    // One that knows both goes on with them, as they were defined then.
    let both = only_longer().former(brief());
    let (knowing, mut client) = Coordinator::start(both, &config).await;
    let done = once(&mut client, &order, SagaStatus::Completed).await;
    assert!(done.journal_agrees);
    assert_eq!((done.saga.unwrap().version, done.steps.len()), (version.hash.clone(), 3));
    let retry = RetryStepRequest {
        id: forgotten.clone(),
        by: "ada".to_owned(),
        reason: "its version is back".to_owned(),
        request_id: "1".to_owned(),
    };
    client.retry_step(retry).await.unwrap();
    let done = once(&mut client, &forgotten, SagaStatus::Completed).await;
    assert!(done.journal_agrees);
    assert_eq!((done.saga.unwrap().version, done.steps.len()), (version.hash, 3));
    knowing.stop().await;
}
