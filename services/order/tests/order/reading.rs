use proto::order::{
    ApproveOrder, GetOrderRequest, ListCatalogRequest, ListOrdersRequest, ListOrdersResponse,
    OrderStatus, PlaceOrderRequest, SummarizeOrdersRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::world::{Client, eventually, fields, line, place, request, world};

async fn list(client: &mut Client, request: &ListOrdersRequest) -> ListOrdersResponse {
    client.list_orders(request.clone()).await.unwrap().into_inner()
}

#[tokio::test]
async fn orders_are_listed_page_by_page_the_newest_first() {
    let world = world().await;
    let mut client = world.client().await;
    let customer_id = Uuid::now_v7().to_string();
    let mut placed = Vec::new();
    for _ in 0..5 {
        let request = PlaceOrderRequest { customer_id: customer_id.clone(), ..request() };
        placed.insert(0, place(&mut client, request).await.unwrap());
    }
    let mut asked = ListOrdersRequest { page_size: 2, customer_id, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = list(&mut client, &asked).await;
        pages.push(page.orders);
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(pages.concat(), placed);

    let approved = placed[3].order_id.clone();
    world.ask(&approved, &ApproveOrder { order_id: approved.clone() }).await;
    asked.statuses = vec![OrderStatus::Confirmed.into()];
    let page = list(&mut client, &asked).await;
    assert_eq!(page.orders.iter().map(|order| &order.order_id).collect::<Vec<_>>(), [&approved]);
    // By status alone, and all of them.
    asked.customer_id.clear();
    asked.page_size = 1_000;
    let page = list(&mut client, &asked).await;
    assert!(page.orders.iter().any(|order| order.order_id == approved));
    assert!(page.orders.iter().all(|order| order.status() == OrderStatus::Confirmed));
    asked.statuses.clear();
    // Others order at the same time: the five may be on a later page.
    let mut everybody = Vec::new();
    loop {
        let page = list(&mut client, &asked).await;
        everybody.extend(page.orders);
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            break;
        }
    }
    assert!(everybody.is_sorted_by(|one, next| one.order_id > next.order_id));
    assert!(placed.iter().all(|order| everybody.iter().any(|o| o.order_id == order.order_id)));
}

#[tokio::test]
async fn bad_lists_are_told_what_is_wrong() {
    let mut client = world().await.client().await;
    for _ in 0..2 {
        place(&mut client, request()).await.unwrap();
    }
    let first = ListOrdersRequest { page_size: 1, ..Default::default() };
    let page_token = list(&mut client, &first).await.next_page_token;
    assert!(!page_token.is_empty());
    let customer_id = "somebody".to_owned();
    let cases = [
        (ListOrdersRequest { page_size: -1, ..first.clone() }, "page_size"),
        (ListOrdersRequest { page_token: "nonsense".to_owned(), ..first.clone() }, "page_token"),
        (ListOrdersRequest { page_token: "7b7d".to_owned(), ..first.clone() }, "page_token"),
        (ListOrdersRequest { page_token: "x".repeat(100_000), ..first.clone() }, "page_token"),
        (ListOrdersRequest { page_token, customer_id, ..first.clone() }, "page_token"),
        (ListOrdersRequest { customer_id: "nul\0".to_owned(), ..first.clone() }, "customer_id"),
        (ListOrdersRequest { statuses: vec![1, 0], ..first.clone() }, "statuses[1]"),
        (ListOrdersRequest { statuses: vec![99], ..first }, "statuses[0]"),
    ];
    for (request, field) in cases {
        let status = client.list_orders(request).await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
}

#[tokio::test]
async fn an_order_that_is_not_there_is_not_found() {
    let mut client = world().await.client().await;
    let mut get = async |order_id: &str| {
        let request = GetOrderRequest { order_id: order_id.to_owned() };
        client.get_order(request).await.unwrap_err().code()
    };
    assert_eq!(get("0198c0de-0000-7000-8000-000000000000").await, Code::NotFound);
    for bad in ["", "order", "0198c0de-0000-7000-8000-00000000000g"] {
        assert_eq!(get(bad).await, Code::InvalidArgument, "{bad}");
    }
}

#[tokio::test]
async fn the_catalogue_keeps_the_latest_of_each_item() {
    let world = world().await;
    let mut client = world.client().await;
    let sku = Uuid::now_v7().to_string();
    world.list_item(&sku, 300, "EUR", 3).await;
    world.list_item(&sku, 200, "EUR", 2).await;
    // What cannot be is set aside, and what follows is heard.
    world.list_item(&sku, -1, "EUR", 4).await;
    world.list_item(&sku, 500, "gold", 5).await;
    let dead = world.hear(2, |envelope| envelope.key == sku).await;
    assert_eq!(dead.len(), 2);
    world.list_item(&sku, 600, "EUR", 6).await;

    let latest = eventually(async || {
        let items =
            client.list_catalog(ListCatalogRequest::default()).await.unwrap().into_inner().items;
        let item = items.into_iter().find(|item| item.sku == sku);
        match item.map(|item| item.price.unwrap().minor_units) {
            Some(600) => Some(()),
            Some(300) | None => None,
            other => panic!("{other:?}"),
        }
    });
    latest.await.expect("the catalogue does not follow");
    let lines = vec![line(&sku, 2)];
    let order = place(&mut client, PlaceOrderRequest { lines, ..request() }).await.unwrap();
    assert_eq!(order.total.unwrap().minor_units, 1_200);
}

#[tokio::test]
async fn the_catalogue_is_listed_page_by_page() {
    let mut client = world().await.client().await;
    let (mut skus, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListCatalogRequest { page_size: 2, page_token };
        let page = client.list_catalog(request).await.unwrap().into_inner();
        assert!(page.items.len() <= 2);
        skus.extend(page.items.into_iter().map(|item| item.sku));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(skus.is_sorted(), "{skus:?}");
    for sku in ["DEAR", "SKU-1", "SKU-2", "US-1"] {
        assert_eq!(skus.iter().filter(|listed| *listed == sku).count(), 1, "{skus:?}");
    }
    let malformed = ListCatalogRequest { page_size: 2, page_token: "seven".to_owned() };
    let refused = client.list_catalog(malformed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn orders_are_added_up_by_status_and_currency() {
    let mut client = world().await.client().await;
    let mut pieces_since = async |placed_after| {
        let request = SummarizeOrdersRequest { placed_after };
        let summaries = client.summarize_orders(request).await.unwrap().into_inner().summaries;
        let dollars: Vec<_> = summaries.into_iter().filter(|sum| sum.currency == "USD").collect();
        dollars
            .iter()
            .map(|sum| (sum.order_count, sum.piece_count, sum.total_minor_units))
            .collect::<Vec<_>>()
    };
    assert_eq!(pieces_since(None).await, []);
    let mut client = world().await.client().await;
    let mut orders = Vec::new();
    for quantity in [2, 3] {
        let lines = vec![line("US-1", quantity)];
        orders.push(place(&mut client, PlaceOrderRequest { lines, ..request() }).await.unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(pieces_since(None).await, [(2, 5, 3_500)]);
    assert_eq!(pieces_since(orders[0].placed_at).await, [(2, 5, 3_500)]);
    assert_eq!(pieces_since(orders[1].placed_at).await, [(1, 3, 2_100)]);
    let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let request = SummarizeOrdersRequest { placed_after: Some(far) };
    assert_eq!(client.summarize_orders(request).await.unwrap_err().code(), Code::InvalidArgument);
}
