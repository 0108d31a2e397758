use std::future::pending;

use proto::shop::Money;

use super::*;
use crate::gateway::{TokenGateway, Unavailable};

const ORDER: Uuid = Uuid::from_u128(0x0190_a000_0000_7000_8000_0000_0000_0001);

/// Decides nothing at once: as a gateway does that has to be called.
struct FarGateway;

impl Gateway for FarGateway {
    async fn authorize(&self, _: &Charge) -> Result<Outcome, Unavailable> {
        pending().await
    }

    async fn capture(&self, _: &Charge, _: &str) -> Result<(), Unavailable> {
        pending().await
    }

    async fn void(&self, _: &Charge, _: &str) -> Result<(), Unavailable> {
        pending().await
    }
}

fn near() -> Ledger<TokenGateway> {
    Ledger::new(Payments::default(), Arc::new(TokenGateway))
}

fn far() -> Ledger<FarGateway> {
    Ledger::new(Payments::default(), Arc::new(FarGateway))
}

fn money(minor_units: i64) -> Money {
    Money { minor_units, currency: "EUR".to_owned() }
}

fn asked(method: &str) -> AuthorizePayment {
    AuthorizePayment {
        order_id: ORDER.to_string(),
        amount: Some(money(1999)),
        payment_method: method.to_owned(),
    }
}

fn void() -> VoidPayment {
    VoidPayment { order_id: ORDER.to_string() }
}

fn capture() -> CapturePayment {
    CapturePayment { order_id: ORDER.to_string() }
}

fn status<G>(ledger: &Ledger<G>) -> Status {
    ledger.payments.0[&ORDER].status
}

fn next_call<G>(ledger: &Ledger<G>) -> NextCall {
    ledger.payments.0[&ORDER].next_call
}

fn approved() -> Said {
    Said::Authorization(Outcome::Approved { number: "number 7".to_owned() })
}

fn note<G>(ledger: &mut Ledger<G>, try_number: u32, said: Said) -> Option<Reply> {
    ledger.payments.note(CallResult { order_id: ORDER, try_number, said })
}

/// As it is when a call is taken from the table.
fn called<G>(ledger: &mut Ledger<G>, try_number: u32) {
    let payment = ledger.payments.0.get_mut(&ORDER).unwrap();
    payment.charge.try_number = try_number;
    payment.next_call = NextCall::AsStored;
    payment.row = Row::AsStored;
}

fn due_now() -> NextCall {
    NextCall::In(Duration::ZERO)
}

#[test]
fn a_good_token_is_authorized_at_once_and_captured_once() {
    let mut ledger = near();
    let first = ledger.authorize_payment(asked("tok_ok"));
    let Decision::Done(PaymentAuthorized { authorization }) = &first else { panic!("{first:?}") };
    assert!(!authorization.is_empty());
    assert_eq!(ledger.authorize_payment(asked("tok_ok")), first);
    assert_eq!(ledger.capture_payment(capture()), Settled::Done(PaymentCaptured {}));
    assert_eq!(ledger.capture_payment(capture()), Settled::Done(PaymentCaptured {}));
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Captured, NextCall::None));
}

#[test]
fn a_declined_card_is_refused_and_written_down() {
    let mut ledger = near();
    let refused = ledger.authorize_payment(asked("tok_declined"));
    assert_eq!(refused, Decision::Refused("card declined".to_owned()));
    assert_eq!(status(&ledger), Status::Declined);
    assert_eq!(ledger.void_payment(void()), Settled::Done(PaymentVoided {}));
    assert_eq!(status(&ledger), Status::Declined);
}

#[test]
fn after_a_decline_another_card_may_be_tried() {
    let mut ledger = near();
    ledger.authorize_payment(asked("tok_declined"));
    assert!(matches!(ledger.authorize_payment(asked("tok_ok")), Decision::Done(_)));
    assert_eq!(ledger.payments.0[&ORDER].reason, "");
}

#[test]
fn an_unknown_token_is_refused_with_its_name() {
    let Decision::Refused(reason) = near().authorize_payment(asked("tok_gold")) else { panic!() };
    assert!(reason.starts_with("unknown payment method token 'tok_gold'"), "{reason}");
}

#[test]
fn what_cannot_be_charged_is_refused_and_leaves_no_payment() {
    let check = |command: AuthorizePayment, why: &str| {
        let mut ledger = near();
        assert_eq!(ledger.authorize_payment(command), Decision::Refused(why.to_owned()));
        assert!(ledger.payments.0.is_empty());
    };
    let amount = |minor| AuthorizePayment { amount: Some(money(minor)), ..asked("tok_ok") };
    check(amount(0), "the amount must be positive, it is 0");
    check(amount(-1), "the amount must be positive, it is -1");
    check(AuthorizePayment { amount: None, ..asked("tok_ok") }, "the payment has no amount");
    let no_currency = Money { minor_units: 1, currency: String::new() };
    check(
        AuthorizePayment { amount: Some(no_currency), ..asked("tok_ok") },
        "the amount has no currency, an ISO 4217 code such as EUR",
    );
    check(asked(""), "the payment has no payment method");
    check(asked(&"x".repeat(201)), "the payment method is not a token");
    check(asked("tok\0"), "the payment method is not a token");
    let order_id = "seven".to_owned();
    check(AuthorizePayment { order_id, ..asked("tok_ok") }, "the payment names no order id");
}

#[test]
fn another_amount_for_the_same_order_is_refused() {
    let mut ledger = near();
    ledger.authorize_payment(asked("tok_ok"));
    let other = AuthorizePayment { amount: Some(money(1)), ..asked("tok_ok") };
    assert!(matches!(ledger.authorize_payment(other), Decision::Refused(_)));
}

#[test]
fn void_lets_go_whatever_is_held_and_nothing_is_authorized_after_it() {
    for method in ["tok_ok", "tok_silent"] {
        let mut ledger = near();
        ledger.authorize_payment(asked(method));
        assert_eq!(ledger.void_payment(void()), Settled::Done(PaymentVoided {}));
        assert_eq!(ledger.void_payment(void()), Settled::Done(PaymentVoided {}));
        assert_eq!((status(&ledger), next_call(&ledger)), (Status::Voided, NextCall::None));
        assert!(matches!(ledger.authorize_payment(asked(method)), Decision::Refused(_)));
    }
}

#[test]
fn void_of_nothing_is_done_without_effect() {
    let mut ledger = near();
    assert_eq!(ledger.void_payment(void()), Settled::Done(PaymentVoided {}));
    let nonsense = VoidPayment { order_id: "seven".to_owned() };
    assert_eq!(ledger.void_payment(nonsense), Settled::Done(PaymentVoided {}));
    assert!(ledger.payments.0.is_empty() && ledger.impossible.is_none());
}

#[test]
fn money_that_was_taken_is_not_let_go() {
    let mut ledger = near();
    ledger.authorize_payment(asked("tok_ok"));
    ledger.capture_payment(capture());
    ledger.void_payment(void());
    assert_eq!(status(&ledger), Status::Captured);
    assert!(ledger.impossible.unwrap().contains("its money was taken"));
}

#[test]
fn money_that_is_not_held_is_not_taken() {
    let mut nothing = near();
    nothing.capture_payment(capture());
    assert!(nothing.impossible.unwrap().contains("has no payment"));
    for (method, is) in [("tok_silent", "pending"), ("tok_declined", "declined")] {
        let mut ledger = near();
        ledger.authorize_payment(asked(method));
        ledger.capture_payment(capture());
        assert!(ledger.impossible.unwrap().contains(is));
    }
}

#[test]
fn what_the_gateway_must_be_called_for_is_pending_and_answered_later() {
    let mut ledger = near();
    assert_eq!(ledger.authorize_payment(asked("tok_flaky")), Decision::Deferred);
    assert_eq!(ledger.authorize_payment(asked("tok_flaky")), Decision::Deferred);
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Pending, due_now()));
    let Some(Reply::Authorization(Decision::Done(reply))) = note(&mut ledger, 1, approved()) else {
        panic!("no answer")
    };
    assert_eq!(reply.authorization, "number 7");
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Authorized, NextCall::None));
    assert_eq!(note(&mut ledger, 1, approved()), None);
}

#[test]
fn an_unavailable_gateway_is_called_again_with_growing_pauses() {
    let mut ledger = far();
    ledger.authorize_payment(asked("card"));
    let mut pauses = Vec::new();
    for try_number in [1, 2, 3, 1000] {
        called(&mut ledger, try_number);
        assert_eq!(note(&mut ledger, try_number, Said::Unavailable), None);
        pauses.push(next_call(&ledger));
    }
    assert_eq!(pauses, [100, 200, 400, 30_000].map(|ms| NextCall::In(Duration::from_millis(ms))));
    assert_eq!(status(&ledger), Status::Pending);
}

#[test]
fn a_lost_call_does_not_disturb_the_one_after_it() {
    let mut ledger = far();
    ledger.authorize_payment(asked("card"));
    called(&mut ledger, 2);
    assert_eq!(note(&mut ledger, 1, Said::Unavailable), None);
    assert_eq!(next_call(&ledger), NextCall::AsStored);
}

#[test]
fn an_approval_that_comes_after_the_void_is_voided_at_the_gateway() {
    let mut ledger = far();
    ledger.authorize_payment(asked("card"));
    called(&mut ledger, 1);
    ledger.void_payment(void());
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Voided, due_now()));
    // The void is under way when the approval comes in: it may have been too early.
    called(&mut ledger, 2);
    assert_eq!(note(&mut ledger, 1, approved()), None);
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Voided, due_now()));
    assert_eq!(note(&mut ledger, 2, Said::Voided), None);
    assert_eq!(next_call(&ledger), due_now());
    called(&mut ledger, 4);
    assert_eq!(note(&mut ledger, 4, Said::Voided), None);
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Voided, NextCall::None));
}

#[test]
fn a_capture_is_answered_when_the_gateway_has_done_it() {
    let mut ledger = far();
    ledger.authorize_payment(asked("card"));
    note(&mut ledger, 1, approved());
    assert_eq!(ledger.capture_payment(capture()), Settled::Deferred);
    assert_eq!(ledger.capture_payment(capture()), Settled::Deferred);
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Authorized, due_now()));
    called(&mut ledger, 2);
    note(&mut ledger, 2, Said::Unavailable);
    assert!(matches!(next_call(&ledger), NextCall::In(_)));
    called(&mut ledger, 3);
    assert_eq!(note(&mut ledger, 3, Said::Captured), Some(Reply::Captured));
    assert_eq!((status(&ledger), next_call(&ledger)), (Status::Captured, NextCall::None));
    assert_eq!(note(&mut ledger, 3, Said::Captured), None);
    assert_eq!(ledger.impossible, None);
}

#[test]
fn the_words_of_a_gateway_are_cut_to_what_can_be_stored() {
    let mut ledger = far();
    ledger.authorize_payment(asked("card"));
    let reason = format!("no\0{}", "!".repeat(10_000));
    let said = Said::Authorization(Outcome::Declined { reason });
    let Some(Reply::Authorization(Decision::Refused(reason))) = note(&mut ledger, 1, said) else {
        panic!("no refusal")
    };
    assert!(reason.starts_with("no!") && reason.len() == 200);
}
