//! Load, decide, save, as a batch of commands does, on a real Postgres.

use std::sync::Arc;

use proto::{
    PaymentCommand,
    payment::{AuthorizePayment, CapturePayment, VoidPayment},
    shop::Money,
};
use saga_contract::Answer;
use sqlx::query_scalar;

use super::*;
use crate::{
    TokenGateway,
    domain::{CallResult, Ledger, Said, order_id},
    gateway::Outcome,
};

const LEASE: Duration = Duration::from_secs(60);

struct Shop {
    db: PgPool,
}

impl Shop {
    async fn open() -> Self {
        let url = provision::cluster::shared().await.database("payment_store").await;
        let db = PgPool::connect(&url).await.unwrap();
        sqlx::migrate!("../../migrations/payment").run(&db).await.unwrap();
        Shop { db }
    }

    async fn batch(&self, commands: Vec<(Uuid, PaymentCommand)>) -> Vec<Answer> {
        let mut tx = self.db.begin().await.unwrap();
        let orders: Vec<Uuid> = commands.iter().map(|(order, _)| *order).collect();
        let payments = load(&mut tx, &orders).await.unwrap();
        let mut ledger = Ledger::new(payments, Arc::new(TokenGateway));
        let answers = commands.into_iter().map(|(_, command)| command.decide(&mut ledger));
        let answers = answers.collect();
        assert_eq!(ledger.impossible, None);
        save(&mut tx, &ledger.payments).await.unwrap();
        tx.commit().await.unwrap();
        answers
    }

    async fn note(&self, order: Uuid, try_number: u32, said: Said) {
        let mut tx = self.db.begin().await.unwrap();
        let mut payments = load(&mut tx, &[order]).await.unwrap();
        payments.note(CallResult { order_id: order, try_number, said });
        save(&mut tx, &payments).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn status(&self, order: Uuid) -> String {
        query_scalar("SELECT status FROM payment WHERE order_id = $1")
            .bind(order)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    async fn make_due(&self) {
        let all = query("UPDATE payment SET next_try_at = now() WHERE next_try_at IS NOT NULL");
        all.execute(&self.db).await.unwrap();
    }
}

fn authorize(order: Uuid, method: &str) -> (Uuid, PaymentCommand) {
    let command = AuthorizePayment {
        order_id: order.to_string(),
        amount: Some(Money { minor_units: 1999, currency: "EUR".to_owned() }),
        payment_method: method.to_owned(),
    };
    (order, PaymentCommand::AuthorizePayment(command))
}

fn void(order: Uuid) -> (Uuid, PaymentCommand) {
    (order, PaymentCommand::VoidPayment(VoidPayment { order_id: order.to_string() }))
}

fn capture(order: Uuid) -> (Uuid, PaymentCommand) {
    (order, PaymentCommand::CapturePayment(CapturePayment { order_id: order.to_string() }))
}

#[tokio::test]
async fn a_batch_writes_many_payments() {
    let shop = Shop::open().await;
    let [good, bad, slow, undone] = [(); 4].map(|()| Uuid::now_v7());
    let answers = shop
        .batch(vec![
            authorize(good, "tok_ok"),
            authorize(bad, "tok_declined"),
            authorize(slow, "tok_silent"),
            authorize(undone, "tok_ok"),
            authorize(good, "tok_ok"),
            void(undone),
        ])
        .await;
    assert!(matches!(answers[0], Answer::Succeeded { .. }));
    assert_eq!(answers[1], Answer::Refused("card declined".to_owned()));
    assert_eq!(answers[2], Answer::Deferred);
    assert_eq!(answers[4], answers[0]);
    for (order, status) in
        [(good, "authorized"), (bad, "declined"), (slow, "pending"), (undone, "voided")]
    {
        assert_eq!(shop.status(order).await, status);
    }
    shop.batch(vec![capture(good), void(bad), void(slow), void(undone)]).await;
    for (order, status) in
        [(good, "captured"), (bad, "declined"), (slow, "voided"), (undone, "voided")]
    {
        assert_eq!(shop.status(order).await, status);
    }
}

#[tokio::test]
async fn an_undo_that_comes_first_leaves_nothing() {
    let shop = Shop::open().await;
    let order = Uuid::now_v7();
    shop.batch(vec![void(order)]).await;
    let count: i64 =
        query_scalar("SELECT count(*) FROM payment").fetch_one(&shop.db).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_due_call_is_taken_by_one_process_and_again_when_its_lease_is_over() {
    let shop = Shop::open().await;
    let order = Uuid::now_v7();
    shop.batch(vec![authorize(order, "tok_silent"), authorize(Uuid::now_v7(), "tok_ok")]).await;
    let (one, other) = tokio::join!(take_due(&shop.db, 10, LEASE), take_due(&shop.db, 10, LEASE));
    let taken = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].charge.order_id, taken[0].charge.try_number), (order, 1));
    assert_eq!(taken[0].kind, CallKind::Authorize);
    assert_eq!(take_due(&shop.db, 10, LEASE).await.unwrap(), []);
    shop.make_due().await;
    assert_eq!(take_due(&shop.db, 10, LEASE).await.unwrap()[0].charge.try_number, 2);
}

#[tokio::test]
async fn an_outcome_ends_the_calls_and_an_unavailable_gateway_is_called_later() {
    let shop = Shop::open().await;
    let order = Uuid::now_v7();
    shop.batch(vec![authorize(order, "tok_flaky")]).await;
    take_due(&shop.db, 10, LEASE).await.unwrap();
    shop.note(order, 1, Said::Unavailable).await;
    assert_eq!(take_due(&shop.db, 10, LEASE).await.unwrap(), []);
    shop.make_due().await;
    take_due(&shop.db, 10, LEASE).await.unwrap();
    let number = "number 7".to_owned();
    shop.note(order, 2, Said::Authorization(Outcome::Approved { number })).await;
    assert_eq!(shop.status(order).await, "authorized");
    shop.make_due().await;
    assert_eq!(take_due(&shop.db, 10, LEASE).await.unwrap(), []);
}

#[tokio::test]
async fn an_outcome_and_a_void_at_the_same_time_lose_nothing() {
    let shop = Shop::open().await;
    for _ in 0..20 {
        let order = Uuid::now_v7();
        shop.batch(vec![authorize(order, "tok_flaky")]).await;
        let outcome = Outcome::Approved { number: "number 7".to_owned() };
        let noted = shop.note(order, 1, Said::Authorization(outcome));
        tokio::join!(noted, shop.batch(vec![void(order)]));
        assert_eq!(shop.status(order).await, "voided");
    }
}

#[tokio::test]
async fn the_database_itself_refuses_an_amount_that_is_not_positive() {
    let shop = Shop::open().await;
    let insert = query(
        "INSERT INTO payment (order_id, status, amount_minor, currency, method)
         VALUES ($1, 'pending', 0, 'EUR', 'tok_ok')",
    );
    let refused = insert.bind(Uuid::now_v7()).execute(&shop.db).await.unwrap_err();
    let constraint = refused.as_database_error().unwrap().constraint();
    assert_eq!(constraint, Some("payment_amount_positive"));
}

#[test]
fn an_order_id_has_one_spelling() {
    let id = Uuid::now_v7();
    assert_eq!(order_id(&id.to_string()), Some(id));
    assert_eq!(order_id(&id.simple().to_string()), None);
}
