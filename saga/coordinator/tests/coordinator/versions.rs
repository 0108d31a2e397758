//! Another build starts where sagas of the former one are under way.

use proto::saga::SagaStatus;
use saga_coordinator::{Config, run_sagas};
use saga_core::Registry;
use sqlx::{PgPool, query_scalar};
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
    // With one partition, what is published later is heard later, and by one process only.
    let config = config(&["--partitions", "1", "--resend-after-ms", "600000"]).await;
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
    assert!(refused.contains(&format!("sagas of {version} are under way (1)")), "{refused}");
    assert!(refused.contains("--allow-unregistered"), "{refused}");

    // Told to, it starts, and takes down what it hears of the saga.
    let lenient = Config { allow_unregistered: true, ..config.clone() };
    let (ignorant, mut client) = Coordinator::start(only_longer(), &lenient).await;
    participants.succeed(&asked).await;
    participants.succeed(&asked).await;
    let after = Uuid::now_v7().to_string();
    participants.agree();
    participants.publish_placed(&after).await;
    let done = once(&mut client, &after, SagaStatus::Completed).await.saga.unwrap();
    assert_eq!(done.version, longer().version().hash);
    let db = PgPool::connect(&config.database_url).await.unwrap();
    let lines = "SELECT length(answers_left) - length(replace(answers_left, E'\n', ''))
         FROM saga WHERE answers_left IS NOT NULL";
    let left: Vec<i32> = query_scalar(lines).fetch_all(&db).await.unwrap();
    assert_eq!(left, [1]);
    let left = once(&mut client, &order, SagaStatus::Running).await.saga.unwrap();
    assert_eq!((left.version, left.revision), (version.hash.clone(), 1));

    // One that knows both goes on with it, as it was defined then, also when the answers reach the
    // other one.
    let mut beside = config.clone();
    beside.common.instance = "1".to_owned();
    let (knowing, mut client) = Coordinator::start(only_longer().former(brief()), &beside).await;
    let done = once(&mut client, &order, SagaStatus::Completed).await;
    assert!(done.journal_agrees);
    assert_eq!((done.saga.unwrap().version, done.steps.len()), (version.hash, 3));
    let left = "SELECT count(*) FROM saga WHERE answers_left IS NOT NULL";
    until_number(&db, left, 0).await;
    ignorant.stop().await;
    knowing.stop().await;
}
