//! What must survive: lost records, stops, and changes made by another process.

use std::time::Duration;

use proto::order::{
    ApproveOrder, GetOrderRequest, OrderConfirmed, OrderPlaced, OrderStatus, WatchOrderRequest,
};
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::world::{PATIENCE, client, place, request, start_service, world};

#[tokio::test]
async fn an_order_that_nobody_decides_is_told_again_and_again() {
    let world = world().await;
    let mut client = world.client().await;
    let decided = place(&mut client, request()).await.unwrap().order_id;
    let order = place(&mut client, request()).await.unwrap();
    let told: Vec<OrderPlaced> = world.events(&order.order_id, 3).await;
    assert!(told.iter().all(|again| again == &told[0]));
    assert_eq!(told[0].total, order.total);

    // What is decided is left alone from then on, while the other is told twice more.
    world.ask(&decided, &ApproveOrder { order_id: decided.clone() }).await;
    world.events::<OrderConfirmed>(&decided, 1).await;
    let before = world.events::<OrderPlaced>(&decided, 1).await.len();
    let until_now = world.events::<OrderPlaced>(&order.order_id, 1).await.len();
    world.events::<OrderPlaced>(&order.order_id, until_now + 2).await;
    assert_eq!(world.events::<OrderPlaced>(&decided, 1).await.len(), before);
}

#[tokio::test]
async fn a_stop_ends_the_streams_and_loses_no_order() {
    let shutdown = CancellationToken::new();
    let (address, database_url, running) = start_service("stop", "10", shutdown.clone()).await;
    let mut api = client(address).await;
    let db = PgPool::connect(&database_url).await.unwrap();
    sqlx::query("INSERT INTO catalog VALUES ('SKU-1', 'one', 100, 'EUR', 1)")
        .execute(&db)
        .await
        .unwrap();
    let order_id = place(&mut api, request()).await.unwrap().order_id;
    let other_id = place(&mut api, request()).await.unwrap().order_id;
    let watch = |order_id: &str| WatchOrderRequest { order_id: order_id.to_owned() };
    let mut states = api.watch_order(watch(&order_id)).await.unwrap().into_inner();
    states.message().await.unwrap().unwrap();

    // Another process decides: that is seen too, a little later.
    let mut others = api.watch_order(watch(&other_id)).await.unwrap().into_inner();
    others.message().await.unwrap().unwrap();
    sqlx::query(r#"UPDATE "order" SET status = 'confirmed', decided_at = now() WHERE id = $1"#)
        .bind(uuid::Uuid::try_parse(&other_id).unwrap())
        .execute(&db)
        .await
        .unwrap();
    let seen = timeout(PATIENCE, others.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(seen.order.unwrap().status(), OrderStatus::Confirmed);

    shutdown.cancel();
    let ended = timeout(PATIENCE, states.message()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    let status: String = sqlx::query_scalar(r#"SELECT status FROM "order" WHERE id = $1"#)
        .bind(uuid::Uuid::try_parse(&order_id).unwrap())
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(status, "pending");
    let get = GetOrderRequest { order_id };
    assert!(timeout(Duration::from_secs(1), api.get_order(get)).await.unwrap().is_err());
}
