use super::*;

fn order(
    status: OrderStatus,
    order_count: i64,
    total_minor_units: i64,
    piece_count: i64,
) -> OrderSummary {
    let currency = "EUR".to_owned();
    OrderSummary { status: status.into(), currency, order_count, total_minor_units, piece_count }
}

fn payment(status: PaymentStatus, payment_count: i64, total_minor_units: i64) -> PaymentSummary {
    let currency = "EUR".to_owned();
    PaymentSummary { status: status.into(), currency, payment_count, total_minor_units }
}

fn before() -> Books {
    Books {
        orders: vec![order(OrderStatus::Confirmed, 1, 1_000, 1)],
        stock: SummarizeStockResponse {
            available: 99,
            reserved: 0,
            committed: 1,
            stocked: 100,
            reserved_by_orders: 0,
        },
        payments: vec![payment(PaymentStatus::Captured, 1, 1_000)],
    }
}

/// Nine more confirmed and two cancelled.
fn after() -> Books {
    Books {
        orders: vec![
            order(OrderStatus::Confirmed, 10, 10_000, 10),
            order(OrderStatus::Cancelled, 2, 2_000, 2),
        ],
        stock: SummarizeStockResponse {
            available: 90,
            reserved: 0,
            committed: 10,
            stocked: 100,
            reserved_by_orders: 0,
        },
        payments: vec![
            payment(PaymentStatus::Captured, 10, 10_000),
            payment(PaymentStatus::Declined, 2, 2_000),
        ],
    }
}

const SEEN: Counts = Counts { sent: 11, acknowledged: 11, failed: 0, confirmed: 9, cancelled: 2 };

fn check(change: impl FnOnce(&mut Books), expected: &str) {
    let mut after = after();
    change(&mut after);
    assert_eq!(imbalances(&before(), &after, SEEN), [expected]);
}

#[test]
fn books_that_agree_have_no_imbalance() {
    assert_eq!(imbalances(&before(), &after(), SEEN), Vec::<String>::new());
    assert_eq!(imbalances(&before(), &before(), Counts::default()), Vec::<String>::new());
}

#[test]
fn orders_of_other_clients_are_no_imbalance() {
    let seen = Counts { acknowledged: 5, ..SEEN };
    assert_eq!(imbalances(&before(), &after(), seen), Vec::<String>::new());
}

#[test]
fn money_confirmed_and_not_captured_is_found() {
    check(
        |after| after.payments[0].total_minor_units -= 100,
        "money of orders confirmed and money captured: 90.00 EUR and 89.00 EUR",
    );
}

#[test]
fn money_captured_in_another_currency_is_found() {
    let mut after = after();
    after.payments[0].currency = "USD".to_owned();
    let wrong = imbalances(&before(), &after, SEEN);
    assert!(wrong.iter().any(|wrong| wrong.contains("USD")), "{wrong:?}");
}

#[test]
fn an_order_paid_twice_is_found() {
    check(
        |after| after.payments[0].payment_count += 1,
        "orders confirmed and payments captured: 9 and 10",
    );
}

#[test]
fn pieces_confirmed_and_not_committed_are_found() {
    check(
        |after| {
            after.stock.committed -= 1;
            after.stock.available += 1;
        },
        "pieces confirmed and pieces committed: 9 and 8",
    );
}

#[test]
fn pieces_out_of_nothing_are_found() {
    check(
        |after| after.stock.available += 1,
        "pieces brought in and pieces there or gone: 100 and 101",
    );
}

#[test]
fn reservations_that_hold_nothing_are_found() {
    check(
        |after| after.stock.reserved_by_orders = 1,
        "pieces set aside and pieces in reservations: 0 and 1",
    );
}

#[test]
fn pieces_still_set_aside_are_found() {
    check(
        |after| {
            after.stock.reserved = 3;
            after.stock.reserved_by_orders = 3;
            after.stock.available -= 3;
        },
        "pieces set aside: 3 left, 0 before",
    );
}

#[test]
fn orders_and_payments_still_open_are_found() {
    check(
        |after| after.orders.push(order(OrderStatus::Pending, 1, 1_000, 1)),
        "orders pending: 1 left, 0 before",
    );
    check(
        |after| after.orders.push(order(OrderStatus::Cancelling, 1, 1_000, 1)),
        "orders being cancelled: 1 left, 0 before",
    );
    check(
        |after| after.payments.push(payment(PaymentStatus::Pending, 1, 1_000)),
        "payments pending: 1 left, 0 before",
    );
    check(
        |after| after.payments.push(payment(PaymentStatus::Authorized, 1, 1_000)),
        "payments held and not taken: 1 left, 0 before",
    );
}

#[test]
fn what_was_open_before_may_still_be_open() {
    let (mut before, mut after) = (before(), after());
    for books in [&mut before, &mut after] {
        books.orders.push(order(OrderStatus::Pending, 1, 1_000, 1));
    }
    assert_eq!(imbalances(&before, &after, SEEN), Vec::<String>::new());
}

#[test]
fn an_order_that_was_taken_and_is_gone_is_found() {
    check(
        |after| after.orders[1].order_count = 1,
        "orders taken and orders decided: 11 and only 10",
    );
}
