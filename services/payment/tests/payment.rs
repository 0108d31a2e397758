//! Payments as their neighbours meet them: over gRPC and over Kafka.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests end the test"
)]
#![expect(unreachable_pub, reason = "a test has no users")]

#[expect(dead_code, reason = "this service publishes no events")]
#[path = "../../inventory/tests/inventory/asker.rs"]
mod asker;
#[path = "payment/service.rs"]
mod service;

use std::time::Duration;

use asker::{Asker, PATIENCE, Step};
use messaging::message::{Direction, Outcome};
use proto::{
    payment::{
        AuthorizePayment, CapturePayment, GetPaymentRequest, ListPaymentsRequest, Payment,
        PaymentStatus, SummarizePaymentsRequest, VoidPayment,
    },
    shop::Money,
};
use service::{Client, Service};
use sqlx::{PgPool, query_scalar};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

const COMMANDS: &str = "payment.commands.v1";
/// How long the gateway is waited for.
const SHORT_MS: u64 = 1_000;
const LONG_MS: u64 = 30_000;

fn hold(order: Uuid) -> Step {
    Step { order, name: "authorize-payment" }
}

fn take(order: Uuid) -> Step {
    Step { order, name: "capture-payment" }
}

fn authorize(order: Uuid, method: &str) -> AuthorizePayment {
    AuthorizePayment {
        order_id: order.to_string(),
        amount: Some(Money { minor_units: 1999, currency: "EUR".to_owned() }),
        payment_method: method.to_owned(),
    }
}

fn void(order: Uuid) -> VoidPayment {
    VoidPayment { order_id: order.to_string() }
}

fn capture(order: Uuid) -> CapturePayment {
    CapturePayment { order_id: order.to_string() }
}

async fn payment(client: &mut Client, order: Uuid) -> Payment {
    let request = GetPaymentRequest { order_id: order.to_string() };
    client.get_payment(request).await.unwrap().into_inner().payment.unwrap()
}

/// Asks for a payment with this token; tells what is answered.
async fn ask(asker: &mut Asker, order: Uuid, method: &str) -> Outcome {
    asker.invoke(hold(order), 1, &authorize(order, method)).await;
    asker.answer(hold(order), Direction::Invoke).await
}

async fn undo(asker: &mut Asker, order: Uuid) -> Outcome {
    asker.compensate(hold(order), 1, &void(order)).await;
    asker.answer(hold(order), Direction::Compensate).await
}

/// Whether nothing was answered before what has been heard last about the same order: one key's
/// records keep their order.
async fn has_heard_nothing(asker: &mut Asker, step: Step) -> bool {
    timeout(Duration::ZERO, asker.answer(step, Direction::Invoke)).await.is_err()
}

/// Looks until the gateway has been called for the payment so often.
async fn until_tried(service: &Service, order: Uuid, times: i32) {
    let db = PgPool::connect(&service.config.database_url).await.unwrap();
    let tries = async {
        loop {
            let tries: Option<i32> =
                query_scalar("SELECT try_count FROM payment WHERE order_id = $1")
                    .bind(order)
                    .fetch_optional(&db)
                    .await
                    .unwrap();
            if tries >= Some(times) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, tries).await.expect("the gateway is not called");
}

#[tokio::test]
async fn sagas_authorize_void_and_capture_over_kafka() {
    let (service, mut client) = Service::start(SHORT_MS).await;
    let mut asker = Asker::start(&service.config.common, &[COMMANDS]).await;
    let [good, bad, flaky, silent, never] = [(); 5].map(|()| Uuid::now_v7());

    assert_eq!(ask(&mut asker, good, "tok_ok").await, Outcome::Succeeded);
    asker.invoke(take(good), 1, &capture(good)).await;
    assert_eq!(asker.answer(take(good), Direction::Invoke).await, Outcome::Succeeded);
    assert_eq!(payment(&mut client, good).await.status(), PaymentStatus::Captured);

    let declined = Outcome::Refused("card declined".to_owned());
    assert_eq!(ask(&mut asker, bad, "tok_declined").await, declined);
    assert_eq!(payment(&mut client, bad).await.reason, "card declined");

    // Unavailable three times, and then the answer comes by itself.
    assert_eq!(ask(&mut asker, flaky, "tok_flaky").await, Outcome::Succeeded);
    let authorized = payment(&mut client, flaky).await;
    assert_eq!(authorized.status(), PaymentStatus::Authorized);
    assert!(!authorized.authorization.is_empty());
    assert_eq!(undo(&mut asker, flaky).await, Outcome::Succeeded);
    assert_eq!(payment(&mut client, flaky).await.status(), PaymentStatus::Voided);

    // The gateway says nothing, time and again, so nothing is said; until the saga goes back.
    asker.invoke(hold(silent), 1, &authorize(silent, "tok_silent")).await;
    until_tried(&service, silent, 2).await;
    assert_eq!(payment(&mut client, silent).await.status(), PaymentStatus::Pending);
    assert_eq!(undo(&mut asker, silent).await, Outcome::Succeeded);
    assert!(has_heard_nothing(&mut asker, hold(silent)).await);
    assert_eq!(payment(&mut client, silent).await.status(), PaymentStatus::Voided);

    // Undone before it was done.
    assert_eq!(undo(&mut asker, never).await, Outcome::Succeeded);
    assert!(matches!(ask(&mut asker, never, "tok_ok").await, Outcome::Refused(_)));
    let request = GetPaymentRequest { order_id: never.to_string() };
    assert_eq!(client.get_payment(request).await.unwrap_err().code(), Code::NotFound);

    // What cannot be is no silence: somebody is told to look.
    asker.invoke(take(bad), 1, &capture(bad)).await;
    let parked = asker.answer(take(bad), Direction::Invoke).await;
    let Outcome::Parked(reason) = parked else { panic!("{parked:?}") };
    assert!(reason.contains("its payment is declined"), "{reason}");
    assert_eq!(payment(&mut client, bad).await.status(), PaymentStatus::Declined);
    service.stop().await;
}

#[tokio::test]
async fn a_networked_gateway_is_called_for_everything_until_it_answers() {
    let (service, mut client) = Service::start(LONG_MS).await;
    let mut asker = Asker::start(&service.config.common, &[COMMANDS]).await;
    let [good, late] = [(); 2].map(|()| Uuid::now_v7());

    assert_eq!(ask(&mut asker, good, "net_ok").await, Outcome::Succeeded);
    asker.invoke(take(good), 1, &capture(good)).await;
    assert_eq!(asker.answer(take(good), Direction::Invoke).await, Outcome::Succeeded);
    assert_eq!(service.gateway.calls(good), ["authorize", "capture", "capture"]);
    assert_eq!(payment(&mut client, good).await.status(), PaymentStatus::Captured);

    // The approval comes after the void: it is not recorded, but let go at the gateway.
    asker.invoke(hold(late), 1, &authorize(late, "net_late")).await;
    service.gateway.until_called(late, 1).await;
    assert_eq!(undo(&mut asker, late).await, Outcome::Succeeded);
    service.gateway.until_called(late, 2).await;
    service.gateway.approve_the_late_one();
    service.gateway.until_called(late, 3).await;
    assert_eq!(service.gateway.calls(late), ["authorize", "void", "void"]);
    assert_eq!(payment(&mut client, late).await.status(), PaymentStatus::Voided);
    assert_eq!(undo(&mut asker, late).await, Outcome::Succeeded);
    assert!(has_heard_nothing(&mut asker, hold(late)).await);
    service.stop().await;
}

#[tokio::test]
async fn a_call_that_panics_is_made_again_and_the_others_go_on() {
    let (service, mut client) = Service::start(SHORT_MS).await;
    let mut asker = Asker::start(&service.config.common, &[COMMANDS]).await;
    let [broken, other] = [(); 2].map(|()| Uuid::now_v7());

    asker.invoke(hold(broken), 1, &authorize(broken, "net_broken")).await;
    service.gateway.until_called(broken, 1).await;
    assert_eq!(ask(&mut asker, other, "net_ok").await, Outcome::Succeeded);

    assert_eq!(asker.answer(hold(broken), Direction::Invoke).await, Outcome::Succeeded);
    assert_eq!(service.gateway.calls(broken), ["authorize", "authorize"]);
    assert_eq!(payment(&mut client, broken).await.status(), PaymentStatus::Authorized);
    service.stop().await;
}

#[tokio::test]
async fn a_pending_payment_outlives_its_process() {
    let (service, _) = Service::start(SHORT_MS).await;
    let mut asker = Asker::start(&service.config.common, &[COMMANDS]).await;
    let order = Uuid::now_v7();
    asker.invoke(hold(order), 1, &authorize(order, "net_late")).await;
    service.gateway.until_called(order, 1).await;
    let config = service.stop().await;

    let (service, mut client) = Service::start_with(config).await;
    service.gateway.approve_the_late_one();
    assert_eq!(asker.answer(hold(order), Direction::Invoke).await, Outcome::Succeeded);
    assert_eq!(payment(&mut client, order).await.status(), PaymentStatus::Authorized);
    service.stop().await;
}

#[tokio::test]
async fn payments_are_listed_and_summed_over_grpc() {
    let (service, mut client) = Service::start(SHORT_MS).await;
    let mut asker = Asker::start(&service.config.common, &[COMMANDS]).await;
    let orders: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    for (order, method) in orders.iter().zip(["tok_ok", "tok_declined", "tok_ok", "gold", "tok_ok"])
    {
        ask(&mut asker, *order, method).await;
    }

    let all = list(&mut client, &[]).await;
    let newest_first: Vec<String> = orders.iter().rev().map(Uuid::to_string).collect();
    assert_eq!(all, newest_first);
    let authorized = list(&mut client, &[PaymentStatus::Authorized]).await;
    assert_eq!(authorized, [4, 2, 0].map(|index| orders[index].to_string()));
    assert!(list(&mut client, &[PaymentStatus::Captured]).await.is_empty());

    let sums = client.summarize_payments(SummarizePaymentsRequest {}).await.unwrap().into_inner();
    let sums = sums.summaries.into_iter();
    let sums: Vec<_> = sums
        .map(|sum| (sum.status(), sum.currency.clone(), sum.payment_count, sum.total_minor_units))
        .collect();
    let eur = "EUR".to_owned();
    let authorized = (PaymentStatus::Authorized, eur.clone(), 3, 3 * 1999);
    assert_eq!(sums, [authorized, (PaymentStatus::Declined, eur, 2, 2 * 1999)]);

    let request = ListPaymentsRequest { page_size: 1, ..ListPaymentsRequest::default() };
    let page_token = client.list_payments(request).await.unwrap().into_inner().next_page_token;
    let statuses = vec![PaymentStatus::Captured.into()];
    let other_filter = ListPaymentsRequest { page_size: 1, page_token, statuses };
    check_refused(client.list_payments(other_filter).await.unwrap_err(), "page_token");
    let malformed =
        ListPaymentsRequest { page_token: "seven".to_owned(), ..ListPaymentsRequest::default() };
    check_refused(client.list_payments(malformed).await.unwrap_err(), "page_token");
    let negative = ListPaymentsRequest { page_size: -1, ..ListPaymentsRequest::default() };
    check_refused(client.list_payments(negative).await.unwrap_err(), "page_size");
    for status in [0, 6, -1] {
        let unknown =
            ListPaymentsRequest { statuses: vec![status], ..ListPaymentsRequest::default() };
        check_refused(client.list_payments(unknown).await.unwrap_err(), "statuses[0]");
    }
    for order_id in ["", "seven", &"x".repeat(100_000)] {
        let malformed = GetPaymentRequest { order_id: order_id.to_owned() };
        check_refused(client.get_payment(malformed).await.unwrap_err(), "order_id");
    }
    service.stop().await;
}

/// The orders of all pages.
async fn list(client: &mut Client, statuses: &[PaymentStatus]) -> Vec<String> {
    let statuses: Vec<i32> = statuses.iter().map(|status| (*status).into()).collect();
    let (mut orders, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListPaymentsRequest { page_size: 2, page_token, statuses: statuses.clone() };
        let page = client.list_payments(request).await.unwrap().into_inner();
        assert!(page.payments.len() <= 2);
        orders.extend(page.payments.into_iter().map(|payment| payment.order_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return orders;
        }
    }
}

#[track_caller]
fn check_refused(refused: Status, field: &str) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let details = refused.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    assert!(violations.iter().any(|violation| violation.field == field), "{violations:?}");
}
