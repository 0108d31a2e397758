//! The inventory as its neighbours meet it: over gRPC and over Kafka.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests end the test")]
#![expect(unreachable_pub, reason = "a test has no users")]

#[path = "inventory/asker.rs"]
mod asker;
#[path = "inventory/service.rs"]
mod service;

use asker::{Asker, Step};
use messaging::message::{Direction, Outcome};
use prost::Message;
use proto::{
    inventory::{
        CommitStock, GetItemRequest, GetReservationRequest, Item, ItemListed, ListItemsRequest,
        PutItemRequest, ReleaseStock, ReservationStatus, ReserveStock, RestockRequest, StockLine,
        SummarizeStockRequest,
    },
    shop::Money,
};
use service::{Client, Service};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

const COMMANDS: &str = "inventory.commands.v1";
const EVENTS: &str = "inventory.events.v1";

fn put(sku: &str, minor_units: i64, currency: &str) -> PutItemRequest {
    let price = Some(Money { minor_units, currency: currency.to_owned() });
    PutItemRequest { sku: sku.to_owned(), name: "Cup".to_owned(), price }
}

fn restock(sku: &str, quantity: i64, request_id: &str) -> RestockRequest {
    RestockRequest { sku: sku.to_owned(), quantity, request_id: request_id.to_owned() }
}

async fn stocked(client: &mut Client, sku: &str, pieces: i64) {
    client.put_item(put(sku, 100, "EUR")).await.unwrap();
    client.restock(restock(sku, pieces, &format!("first {sku}"))).await.unwrap();
}

async fn item(client: &mut Client, sku: &str) -> Item {
    let request = GetItemRequest { sku: sku.to_owned() };
    client.get_item(request).await.unwrap().into_inner().item.unwrap()
}

/// Code, and the fields that are wrong or the reason.
fn said(status: &Status) -> (Code, Vec<String>) {
    let details = status.get_error_details();
    let fields = details.bad_request().map(|bad| &bad.field_violations);
    let fields = fields.into_iter().flatten().map(|violation| violation.field.clone());
    let reason = details.error_info().map(|info| info.reason.clone());
    let fields: Vec<String> = fields.collect();
    (status.code(), if fields.is_empty() { reason.into_iter().collect() } else { fields })
}

#[tokio::test]
async fn the_catalogue_is_kept_over_grpc() {
    let (service, mut client) = Service::start(&[]).await;
    for number in 1..=5 {
        stocked(&mut client, &format!("SKU-{number}"), 10).await;
    }

    let mut skus = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListItemsRequest { page_size: 2, page_token };
        let page = client.list_items(request).await.unwrap().into_inner();
        assert!(page.items.len() <= 2);
        skus.extend(page.items.into_iter().map(|item| item.sku));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(skus, ["SKU-1", "SKU-2", "SKU-3", "SKU-4", "SKU-5"]);

    client.restock(restock("SKU-1", 10, "first SKU-1")).await.unwrap();
    assert_eq!(item(&mut client, "SKU-1").await.available, 10);
    let reused = client.restock(restock("SKU-1", 11, "first SKU-1")).await.unwrap_err();
    assert_eq!(said(&reused), (Code::AlreadyExists, vec!["REQUEST_ID_REUSED".to_owned()]));
    client.put_item(put("SKU-1", 250, "EUR")).await.unwrap();
    let changed = item(&mut client, "SKU-1").await;
    assert_eq!((changed.price.unwrap().minor_units, changed.available), (250, 10));

    let books = client.summarize_stock(SummarizeStockRequest {}).await.unwrap().into_inner();
    assert_eq!((books.available, books.stocked, books.reserved_by_orders), (50, 50, 0));
    service.stop().await;
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_with_them() {
    let (service, mut client) = Service::start(&[]).await;
    stocked(&mut client, "SKU-1", 1).await;

    let too_long = "x".repeat(100_000);
    for sku in ["", "a b", "SKU\0-1", &too_long] {
        let refused = client.put_item(put(sku, 0, "euro")).await.unwrap_err();
        let fields = ["sku", "price.minor_units", "price.currency"].map(str::to_owned).to_vec();
        assert_eq!(said(&refused), (Code::InvalidArgument, fields));
        let refused = client.get_item(GetItemRequest { sku: sku.to_owned() }).await.unwrap_err();
        assert_eq!(said(&refused), (Code::InvalidArgument, vec!["sku".to_owned()]));
    }
    for name in ["", "   ", "a\0b", &too_long] {
        let request = PutItemRequest { name: name.to_owned(), ..put("SKU-1", 1, "EUR") };
        let refused = client.put_item(request).await.unwrap_err();
        assert_eq!(said(&refused), (Code::InvalidArgument, vec!["name".to_owned()]));
    }
    for quantity in [0, -1, i64::MIN, i64::MAX] {
        let refused = client.restock(restock("SKU-1", quantity, "")).await.unwrap_err();
        let fields = ["quantity", "request_id"].map(str::to_owned).to_vec();
        assert_eq!(said(&refused), (Code::InvalidArgument, fields));
    }
    let unknown = client.restock(restock("SKU-404", 1, "a")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let unknown = client.get_item(GetItemRequest { sku: "SKU-404".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    for page_token in ["seven", "00ff", "7b7d", &too_long] {
        let request = ListItemsRequest { page_size: 0, page_token: page_token.to_owned() };
        let refused = client.list_items(request).await.unwrap_err();
        assert_eq!(said(&refused), (Code::InvalidArgument, vec!["page_token".to_owned()]));
    }
    let request = ListItemsRequest { page_size: -1, page_token: String::new() };
    let refused = client.list_items(request).await.unwrap_err();
    assert_eq!(said(&refused), (Code::InvalidArgument, vec!["page_size".to_owned()]));

    let malformed = GetReservationRequest { order_id: "seven".to_owned() };
    let refused = client.get_reservation(malformed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let unknown = GetReservationRequest { order_id: Uuid::now_v7().to_string() };
    let refused = client.get_reservation(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    service.stop().await;
}

fn step(order: Uuid) -> Step {
    Step { order, name: "reserve-stock" }
}

fn reserve(order: Uuid, sku: &str, quantity: u32) -> ReserveStock {
    let line = StockLine { sku: sku.to_owned(), quantity };
    ReserveStock { order_id: order.to_string(), lines: vec![line] }
}

fn release(order: Uuid) -> ReleaseStock {
    ReleaseStock { order_id: order.to_string() }
}

fn commit(order: Uuid) -> CommitStock {
    CommitStock { order_id: order.to_string() }
}

fn commit_step(order: Uuid) -> Step {
    Step { order, name: "commit-stock" }
}

#[tokio::test]
async fn sagas_reserve_release_and_commit_stock_over_kafka() {
    let (service, mut client) = Service::start(&[]).await;
    stocked(&mut client, "SKU-1", 10).await;
    stocked(&mut client, "SKU-9", 1).await;
    let mut asker = Asker::start(&service.config.common, &[COMMANDS]).await;
    let [one, two, undone, never] = [(); 4].map(|()| Uuid::now_v7());

    // The last piece: one of two gets it, and a repeated command has no effect of its own.
    asker.invoke(step(one), 1, &reserve(one, "SKU-9", 1)).await;
    assert_eq!(asker.answer(step(one), Direction::Invoke).await, Outcome::Succeeded);
    asker.invoke(step(two), 1, &reserve(two, "SKU-9", 1)).await;
    let refused = Outcome::Refused("nothing of SKU-9 is left, 1 wanted".to_owned());
    assert_eq!(asker.answer(step(two), Direction::Invoke).await, refused);
    asker.invoke(step(one), 1, &reserve(one, "SKU-9", 1)).await;
    assert_eq!(asker.answer(step(one), Direction::Invoke).await, Outcome::Succeeded);
    assert_eq!(item(&mut client, "SKU-9").await.reserved, 1);

    // Undone, twice.
    asker.invoke(step(undone), 1, &reserve(undone, "SKU-1", 4)).await;
    assert_eq!(asker.answer(step(undone), Direction::Invoke).await, Outcome::Succeeded);
    for attempt in [1, 2] {
        asker.compensate(step(undone), attempt, &release(undone)).await;
        let answer = asker.answer(step(undone), Direction::Compensate).await;
        assert_eq!(answer, Outcome::Succeeded);
    }
    assert_eq!(item(&mut client, "SKU-1").await.available, 10);

    // Undone before it was done.
    asker.compensate(step(never), 1, &release(never)).await;
    assert_eq!(asker.answer(step(never), Direction::Compensate).await, Outcome::Succeeded);
    asker.invoke(step(never), 1, &reserve(never, "SKU-1", 4)).await;
    let late = asker.answer(step(never), Direction::Invoke).await;
    assert!(matches!(late, Outcome::Refused(_)), "{late:?}");
    assert_eq!(item(&mut client, "SKU-1").await.available, 10);

    asker.invoke(commit_step(one), 1, &commit(one)).await;
    assert_eq!(asker.answer(commit_step(one), Direction::Invoke).await, Outcome::Succeeded);
    let request = GetReservationRequest { order_id: one.to_string() };
    let reservation = client.get_reservation(request).await.unwrap().into_inner();
    let reservation = reservation.reservation.unwrap();
    assert_eq!(reservation.status(), ReservationStatus::Committed);
    assert_eq!(reservation.lines.len(), 1);

    // What cannot be is no silence: somebody is told to look. Others go on.
    let other = Uuid::now_v7();
    asker.invoke(commit_step(two), 1, &commit(two)).await;
    asker.invoke(step(other), 1, &reserve(other, "SKU-1", 1)).await;
    let parked = asker.answer(commit_step(two), Direction::Invoke).await;
    let Outcome::Parked(reason) = parked else { panic!("{parked:?}") };
    assert!(reason.contains("no stock is set aside for order"), "{reason}");
    assert_eq!(asker.answer(step(other), Direction::Invoke).await, Outcome::Succeeded);

    let books = client.summarize_stock(SummarizeStockRequest {}).await.unwrap().into_inner();
    assert_eq!(books.available + books.reserved + books.committed, books.stocked);
    assert_eq!((books.committed, books.reserved), (1, books.reserved_by_orders));
    service.stop().await;
}

#[tokio::test]
async fn the_demo_catalogue_is_listed_once_and_told_of_at_every_start() {
    let (service, mut client) = Service::start(&["--demo-catalog"]).await;
    let mut asker = Asker::start(&service.config.common, &[EVENTS]).await;
    let clock = listed(&mut asker, "SKU-9").await;
    assert!(clock.price.is_some_and(|price| price.minor_units > 0 && price.currency == "EUR"));
    assert_eq!(item(&mut client, "SKU-9").await.available, 1);
    let put = PutItemRequest { name: "Old clock".to_owned(), ..put("SKU-9", 100, "EUR") };
    client.put_item(put).await.unwrap();
    let changed = listed(&mut asker, "SKU-9").await;
    assert!(changed.revision > clock.revision && changed.name == "Old clock");

    let (service, mut client) = Service::start_with(service.stop().await).await;
    assert_eq!(listed(&mut asker, "SKU-9").await, changed);
    let items = client.list_items(ListItemsRequest::default()).await.unwrap().into_inner().items;
    assert_eq!(items.len(), 9);
    assert_eq!(items[8].name, "Old clock");
    assert_eq!((items[0].available, items[8].available), (1_000_000, 1));
    service.stop().await;
}

#[tokio::test]
async fn every_item_is_told_of_again_and_again() {
    let (service, _client) = Service::start(&["--demo-catalog", "--catalog-interval=1"]).await;
    let mut asker = Asker::start(&service.config.common, &[EVENTS]).await;
    assert_eq!(listed(&mut asker, "SKU-9").await, listed(&mut asker, "SKU-9").await);
    service.stop().await;
}

async fn listed(asker: &mut Asker, sku: &str) -> ItemListed {
    loop {
        let heard = asker.next(|heard| heard.kind == "shop.inventory.v1.ItemListed").await;
        let item = ItemListed::decode(heard.payload.as_slice()).unwrap();
        if item.sku == sku {
            return item;
        }
    }
}
