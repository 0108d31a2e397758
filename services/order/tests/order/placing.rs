use futures::future::join_all;
use proto::{
    order::{OrderPlaced, OrderStatus, PlaceOrderRequest, PlacedLine},
    shop::Money,
};
use tonic::Code;

use crate::world::{fields, line, place, reason, request, world};

#[tokio::test]
async fn an_order_is_pending_at_the_catalogues_prices_and_all_are_told() {
    let world = world().await;
    let mut client = world.client().await;
    let lines = vec![line("SKU-2", 3), line("SKU-1", 1)];
    let customer_id = "ada".to_owned();
    let order = place(&mut client, PlaceOrderRequest { lines, customer_id, ..request() });
    let order = order.await.unwrap();

    let euros = |minor_units| Some(Money { minor_units, currency: "EUR".to_owned() });
    assert_eq!(order.status(), OrderStatus::Pending);
    assert_eq!(order.total, euros(1_750));
    let prices: Vec<_> = order.lines.iter().map(|line| line.unit_price.clone()).collect();
    assert_eq!(prices, [euros(250), euros(1_000)]);
    assert!(order.placed_at.is_some() && order.decided_at.is_none());

    let placed: Vec<OrderPlaced> = world.events(&order.order_id, 1).await;
    assert_eq!((&placed[0].order_id, &placed[0].total), (&order.order_id, &order.total));
    let told = |sku: &str, quantity| PlacedLine { sku: sku.to_owned(), quantity };
    assert_eq!(placed[0].lines, [told("SKU-2", 3), told("SKU-1", 1)]);
    assert_eq!(
        (placed[0].payment_method.as_str(), placed[0].customer_id.as_str()),
        ("tok_ok", "ada")
    );
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let mut client = world().await.client().await;
    let with = |change: fn(&mut PlaceOrderRequest)| {
        let mut request = request();
        change(&mut request);
        request
    };
    let cases = [
        (
            PlaceOrderRequest::default(),
            "INVALID_ARGUMENT",
            vec!["request_id", "lines", "payment_method"],
        ),
        (with(|r| r.request_id = "x".repeat(100_000)), "INVALID_ARGUMENT", vec!["request_id"]),
        (with(|r| r.request_id = "a\0b".to_owned()), "INVALID_ARGUMENT", vec!["request_id"]),
        (with(|r| r.lines = vec![line("SKU-1", 1); 10_000]), "INVALID_ARGUMENT", vec!["lines"]),
        (with(|r| r.lines = vec![line("SKU-1", 0)]), "INVALID_ARGUMENT", vec!["lines[0].quantity"]),
        (
            with(|r| r.lines = vec![line("SKU-1", u32::MAX)]),
            "INVALID_ARGUMENT",
            vec!["lines[0].quantity"],
        ),
        (
            with(|r| r.lines = vec![line("SKU-1", 1), line("SKU-1", 2)]),
            "INVALID_ARGUMENT",
            vec!["lines[1].sku"],
        ),
        (with(|r| r.lines = vec![line("SKU\0", 1)]), "INVALID_ARGUMENT", vec!["lines[0].sku"]),
        (with(|r| r.lines = vec![line("", 1)]), "INVALID_ARGUMENT", vec!["lines[0].sku"]),
        (
            with(|r| r.payment_method = "'; DROP".to_owned()),
            "INVALID_ARGUMENT",
            vec!["payment_method"],
        ),
        (with(|r| r.customer_id = "x".repeat(129)), "INVALID_ARGUMENT", vec!["customer_id"]),
        (with(|r| r.currency = "euro".to_owned()), "INVALID_ARGUMENT", vec!["currency"]),
        (with(|r| r.currency = "USD".to_owned()), "CURRENCY_MISMATCH", vec!["lines[0].sku"]),
        (with(|r| r.lines.push(line("US-1", 1))), "CURRENCY_MISMATCH", vec!["lines[1].sku"]),
        (with(|r| r.lines.push(line("SKU-404", 1))), "UNKNOWN_SKU", vec!["lines[1].sku"]),
        (with(|r| r.lines = vec![line("DEAR", 2)]), "TOTAL_TOO_LARGE", vec!["lines"]),
    ];
    for (request, expected, violated) in cases {
        let status = place(&mut client, request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(
            (reason(&status).as_str(), fields(&status)),
            (expected, violated.into_iter().map(str::to_owned).collect())
        );
    }
    // A hundred bad lines are still an answer that any client can read.
    let lines = (0..100).map(|n| line(&format!("NO-SUCH-ITEM-{n:050}"), 1)).collect();
    let status = place(&mut client, PlaceOrderRequest { lines, ..request() }).await.unwrap_err();
    assert_eq!(reason(&status), "UNKNOWN_SKU");
    assert!(status.message().contains("ListCatalog"), "{status:?}");
    assert!(status.message().len() + status.details().len() * 4 / 3 < 8_000);
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_one_order() {
    let world = world().await;
    let client = world.client().await;
    let request = request();
    let answers = (0..40).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { place(&mut client, request).await.unwrap() }
    });
    let answers = join_all(answers).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]));

    let mut client = client.clone();
    assert_eq!(place(&mut client, request.clone()).await.unwrap(), answers[0]);
    let other = PlaceOrderRequest { lines: vec![line("SKU-1", 3)], ..request.clone() };
    let status = place(&mut client, other).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED")
    );
    assert!(status.message().contains(&request.request_id), "{status:?}");
}

#[tokio::test]
async fn other_contents_under_one_request_id_at_the_same_time_are_one_order() {
    let client = world().await.client().await;
    let request = request();
    let answers = (1..=20).map(|quantity| {
        let lines = vec![line("SKU-1", quantity)];
        let (mut client, request) =
            (client.clone(), PlaceOrderRequest { lines, ..request.clone() });
        async move { place(&mut client, request).await }
    });
    let (taken, refused): (Vec<_>, Vec<_>) =
        join_all(answers).await.into_iter().partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (1, 19));
    assert!(
        refused.iter().all(|refused| refused.as_ref().unwrap_err().code() == Code::AlreadyExists)
    );
}
