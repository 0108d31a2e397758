use proto::OrderCommand;
use saga_contract::Answer;
use saga_contract::CommandSet;

use super::*;

fn order(status: Status) -> Order {
    Order {
        id: Uuid::now_v7(),
        status,
        customer_id: "c-1".to_owned(),
        payment_method: "tok_ok".to_owned(),
        currency: "EUR".to_owned(),
        total_minor: 300,
        lines: vec![Line { sku: "SKU-1".to_owned(), quantity: 3, unit_price_minor: 100 }],
        reason: if status == Status::Pending {
            String::new()
        } else {
            "changed my mind".to_owned()
        },
        placed_at: OffsetDateTime::UNIX_EPOCH,
        decided_at: status.is_decided().then_some(OffsetDateTime::UNIX_EPOCH),
    }
}

/// An order that stands like this is asked `command`: the answer, and how it stands then.
fn asked(
    status: Status,
    command: fn(String) -> OrderCommand,
) -> (Answer, Option<(Status, String)>) {
    let Order { id, reason, .. } = order(status);
    let standings = HashMap::from([(id, Standing { status, reason })]);
    let mut standings = Standings::new(standings, OffsetDateTime::UNIX_EPOCH);
    let command = command(id.to_string());
    let answer = command.clone().decide(&mut standings);
    // Whatever it says the first time, it says again, and changes nothing more.
    assert_eq!(command.decide(&mut standings), answer);
    let mut changes = standings.into_changes();
    assert!(changes.len() <= 1, "{changes:?}");
    (answer, changes.pop().map(|change| (change.status, change.reason)))
}

fn approve(order_id: String) -> OrderCommand {
    OrderCommand::ApproveOrder(ApproveOrder { order_id })
}

fn reject(order_id: String) -> OrderCommand {
    OrderCommand::RejectOrder(RejectOrder { order_id, reason: "card\0declined".to_owned() })
}

fn done(command: fn(String) -> OrderCommand) -> Answer {
    command(String::new()).done()
}

#[test]
fn a_pending_order_is_approved() {
    let confirmed = Some((Status::Confirmed, String::new()));
    assert_eq!(asked(Status::Pending, approve), (done(approve), confirmed));
}

#[test]
fn what_is_confirmed_is_approved_again_without_a_change() {
    assert_eq!(asked(Status::Confirmed, approve), (done(approve), None));
}

#[test]
fn what_the_customer_cancels_is_not_approved() {
    let refused = Answer::Refused("the customer cancelled it".to_owned());
    assert_eq!(asked(Status::Cancelling, approve), (refused, None));
    let refused = Answer::Refused("it is cancelled: changed my mind".to_owned());
    assert_eq!(asked(Status::Cancelled, approve), (refused, None));
}

#[test]
fn a_pending_order_is_rejected_with_the_sagas_reason_on_one_line() {
    let cancelled = Some((Status::Cancelled, "card declined".to_owned()));
    assert_eq!(asked(Status::Pending, reject), (done(reject), cancelled));
}

#[test]
fn an_order_that_the_customer_cancels_ends_with_the_customers_reason() {
    let cancelled = Some((Status::Cancelled, "changed my mind".to_owned()));
    assert_eq!(asked(Status::Cancelling, reject), (done(reject), cancelled));
}

#[test]
fn what_is_decided_is_not_rejected() {
    assert_eq!(asked(Status::Cancelled, reject), (done(reject), None));
    assert_eq!(asked(Status::Confirmed, reject), (done(reject), None));
}

#[test]
fn an_order_that_is_not_there_is_not_approved_and_needs_no_rejection() {
    let mut none = Standings::new(HashMap::new(), OffsetDateTime::UNIX_EPOCH);
    for id in ["", "no id", "0198c0de-0000-7000-8000-000000000000"] {
        let answer = approve(id.to_owned()).decide(&mut none);
        assert!(matches!(answer, Answer::Refused(why) if why.starts_with("there is no order")));
        assert_eq!(reject(id.to_owned()).decide(&mut none), done(reject));
    }
    assert_eq!(none.into_changes(), []);
}

#[test]
fn a_long_reason_is_cut() {
    assert_eq!(one_line(&"ü".repeat(5_000), MAX_REASON_LENGTH), "ü".repeat(1_000));
}

#[test]
fn what_is_no_id_is_repeated_in_part() {
    let mut none = Standings::new(HashMap::new(), OffsetDateTime::UNIX_EPOCH);
    let Answer::Refused(why) = approve("x".repeat(100_000)).decide(&mut none) else { panic!() };
    assert_eq!(why, format!("there is no order '{}'", "x".repeat(64)));
}

#[test]
fn a_pending_order_can_be_cancelled_once() {
    let mut order = order(Status::Pending);
    let change = order.cancel("changed my mind").unwrap().unwrap();
    assert_eq!((change.status, change.reason.as_str()), (Status::Cancelling, "changed my mind"));
    assert_eq!(order.cancel("and again"), Ok(None));
    assert_eq!((order.status, order.reason.as_str()), (Status::Cancelling, "changed my mind"));
}

#[test]
fn a_cancellation_without_a_reason_has_one() {
    let change = order(Status::Pending).cancel("").unwrap().unwrap();
    assert_eq!(change.reason, "cancelled by the customer");
}

#[test]
fn what_is_cancelled_stays_and_what_is_confirmed_cannot_be_cancelled() {
    assert_eq!(order(Status::Cancelled).cancel(""), Ok(None));
    let mut confirmed = order(Status::Confirmed);
    assert_eq!(confirmed.cancel(""), Err(Refused::Confirmed(confirmed.id)));
}

#[test]
fn changes_lead_forward_only() {
    for earlier in Status::ALL {
        for later in Status::ALL {
            let is_news = matches!(
                (earlier, later),
                (Status::Pending, Status::Cancelling | Status::Confirmed | Status::Cancelled)
                    | (Status::Cancelling, Status::Confirmed | Status::Cancelled)
            );
            let mut standing = order(earlier);
            assert_eq!(standing.apply(&order(later).as_change()), is_news, "{earlier} {later}");
            assert_eq!(standing.status, if is_news { later } else { earlier });
        }
    }
}

#[test]
fn an_order_tells_what_was_ordered() {
    let order = order(Status::Pending);
    let placed = order.placed();
    assert_eq!(placed.order_id, order.id.to_string());
    assert_eq!(placed.total, Some(Money { minor_units: 300, currency: "EUR".to_owned() }));
    assert_eq!(placed.lines, [PlacedLine { sku: "SKU-1".to_owned(), quantity: 3 }]);
    assert_eq!(order.piece_count(), 3);
}

#[test]
fn an_order_is_answered_again_as_it_was_when_taken() {
    let taken = Order { reason: String::new(), ..order(Status::Pending) };
    let id = taken.id;
    assert_eq!(Order { id, ..order(Status::Cancelled) }.when_taken(), taken);
}

#[test]
fn statuses_are_read_as_they_are_written() {
    for status in Status::ALL {
        assert_eq!(Status::try_from(status.to_string()).unwrap(), status);
    }
    assert!(Status::try_from("shipped".to_owned()).is_err());
}
