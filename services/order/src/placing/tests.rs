use super::*;

fn line(sku: &str, quantity: u32) -> OrderLine {
    OrderLine { sku: sku.to_owned(), quantity }
}

fn request() -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: "r-1".to_owned(),
        lines: vec![line("SKU-1", 2), line("SKU-2", 1)],
        payment_method: "tok_ok".to_owned(),
        customer_id: "c-1".to_owned(),
        currency: String::new(),
    }
}

/// A request with one thing changed.
fn with(change: impl FnOnce(&mut PlaceOrderRequest)) -> PlaceOrderRequest {
    let mut request = request();
    change(&mut request);
    request
}

fn catalog() -> HashMap<String, Price> {
    let price = |minor_units, currency: &str| Price { minor_units, currency: currency.to_owned() };
    HashMap::from([
        ("SKU-1".to_owned(), price(1_000, "EUR")),
        ("SKU-2".to_owned(), price(500, "EUR")),
        ("DEAR".to_owned(), price(i64::MAX, "EUR")),
        ("COSTLY".to_owned(), price(999_999_999_999_999, "EUR")),
        ("US-1".to_owned(), price(700, "USD")),
    ])
}

fn fields(refused: Result<impl std::fmt::Debug, Refused>) -> (&'static str, Vec<String>) {
    let refused = refused.unwrap_err();
    let Refused::Invalid { reason, violations } = refused else { panic!("{refused:?}") };
    (reason, violations.into_iter().map(|(field, _)| field).collect())
}

fn check_invalid(change: impl FnOnce(&mut PlaceOrderRequest), expected: &[&str]) {
    let (reason, found) = fields(Placing::parse(with(change)));
    assert_eq!(reason, "INVALID_ARGUMENT");
    assert_eq!(found, expected);
}

fn check_price(lines: Vec<OrderLine>, currency: &str, expected: (&str, &[&str])) {
    let placing = Placing::parse(with(|request| {
        request.lines = lines;
        request.currency = currency.to_owned();
    }));
    let (reason, found) = fields(placing.unwrap().price(&catalog()));
    assert_eq!((reason, found), (expected.0, expected.1.iter().map(ToString::to_string).collect()));
}

#[test]
fn an_order_costs_what_the_catalogue_says() {
    let placing = Placing::parse(request()).unwrap();
    let order = placing.price(&catalog()).unwrap();
    assert_eq!(order.id, placing.order_id);
    assert_eq!((order.total_minor, order.currency.as_str()), (2_500, "EUR"));
    assert_eq!(order.status, Status::Pending);
    let prices: Vec<i64> = order.lines.iter().map(|line| line.unit_price_minor).collect();
    assert_eq!(prices, [1_000, 500]);
    let age = OffsetDateTime::now_utc() - order.placed_at;
    assert!(age < time::Duration::minutes(1), "{age}");
}

#[test]
fn what_is_missing_is_told_all_at_once() {
    let (reason, found) = fields(Placing::parse(PlaceOrderRequest::default()));
    assert_eq!(reason, "INVALID_ARGUMENT");
    assert_eq!(found, ["request_id", "lines", "payment_method"]);
}

#[test]
fn texts_have_limits() {
    for bad in ["x".repeat(129), "line\nbreak".to_owned(), "nul\0".to_owned()] {
        check_invalid(|request| request.request_id = bad.clone(), &["request_id"]);
        check_invalid(|request| request.customer_id = bad.clone(), &["customer_id"]);
        check_invalid(|request| request.payment_method = bad.clone(), &["payment_method"]);
        check_invalid(|request| request.lines = vec![line(&bad, 1)], &["lines[0].sku"]);
    }
    for bad in ["a b", "ß", "{}", &"x".repeat(65)] {
        check_invalid(|request| request.lines = vec![line(bad, 1)], &["lines[0].sku"]);
    }
    for bad in ["tok ok", "tok;drop", "tök"] {
        check_invalid(|request| request.payment_method = bad.to_owned(), &["payment_method"]);
    }
    for bad in ["eur", "EURO", "€€€", " EU"] {
        check_invalid(|request| request.currency = bad.to_owned(), &["currency"]);
    }
    let longest = with(|request| request.request_id = "ü".repeat(128));
    assert!(Placing::parse(longest).is_ok());
}

#[test]
fn lines_have_limits() {
    let numbered = |count: u32| (0..count).map(|n| line(&format!("S-{n}"), 1)).collect::<Vec<_>>();
    assert!(Placing::parse(with(|request| request.lines = numbered(100))).is_ok());
    check_invalid(|request| request.lines = numbered(101), &["lines"]);
    check_invalid(|request| request.lines = numbered(10_000), &["lines"]);
    check_invalid(|request| request.lines.clear(), &["lines"]);
    for bad in [0, 10_001, u32::MAX] {
        check_invalid(|request| request.lines = vec![line("S", bad)], &["lines[0].quantity"]);
    }
    let twice = vec![line("S", 1), line("T", 1), line("S", 2)];
    check_invalid(|request| request.lines = twice, &["lines[2].sku"]);
    check_invalid(
        |request| request.lines = vec![line("", 0)],
        &["lines[0].sku", "lines[0].quantity"],
    );
}

#[test]
fn what_is_not_in_the_catalogue_is_named() {
    let lines = vec![line("SKU-1", 1), line("SKU-404", 1)];
    check_price(lines, "", ("UNKNOWN_SKU", &["lines[1].sku"]));
}

#[test]
fn an_order_has_one_currency() {
    let mixed = vec![line("SKU-1", 1), line("US-1", 1)];
    check_price(mixed.clone(), "", ("CURRENCY_MISMATCH", &["lines[1].sku"]));
    check_price(mixed, "USD", ("CURRENCY_MISMATCH", &["lines[0].sku"]));
    check_price(vec![line("SKU-1", 1)], "USD", ("CURRENCY_MISMATCH", &["lines[0].sku"]));
    let right = with(|request| request.currency = "EUR".to_owned());
    assert!(Placing::parse(right).unwrap().price(&catalog()).is_ok());
}

#[test]
fn a_total_has_a_limit_and_does_not_overflow() {
    for lines in [
        vec![line("DEAR", 10_000)],
        vec![line("DEAR", 1), line("SKU-1", 1)],
        vec![line("COSTLY", 1), line("SKU-2", 1)],
    ] {
        check_price(lines, "", ("TOTAL_TOO_LARGE", &["lines"]));
    }
}

#[test]
fn the_same_content_is_recognised_and_another_is_not() {
    let hash = |request| Placing::parse(request).unwrap().hash;
    let same = hash(request());
    assert_eq!(hash(with(|request| request.lines.reverse())), same);
    assert_eq!(hash(with(|request| request.request_id = "r-2".to_owned())), same);
    assert_ne!(hash(with(|request| request.lines[0].quantity = 3)), same);
    assert_ne!(hash(with(|request| request.lines[0].sku = "SKU-9".to_owned())), same);
    assert_ne!(hash(with(|request| request.payment_method = "tok_other".to_owned())), same);
    assert_ne!(hash(with(|request| request.customer_id.clear())), same);
}
