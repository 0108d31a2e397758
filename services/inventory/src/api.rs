//! What people ask the inventory, over gRPC. Reads come from the pool, changes go to the desk.

mod reads;
mod validation;

use bootstrap::{Problem, checks, paging, spawned};
use messaging::Writes;
use proto::{
    can_be_sku,
    inventory::{
        self, GetItemRequest, GetItemResponse, GetReservationRequest, GetReservationResponse,
        ListItemsRequest, ListItemsResponse, PutItemRequest, PutItemResponse, RestockRequest,
        RestockResponse, SummarizeStockRequest, SummarizeStockResponse,
        inventory_service_server::InventoryService,
    },
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    catalog::{Change, Item, NotChanged},
    desk::Desk,
};

#[derive(Debug)]
pub(crate) struct Api {
    db: PgPool,
    desk: Writes<Desk>,
}

impl Api {
    pub(crate) fn new(db: PgPool, desk: Writes<Desk>) -> Self {
        Api { db, desk }
    }

    async fn change(&self, change: Change) -> Result<inventory::Item, Problem> {
        let (sku, request_id) = match &change {
            Change::Put { sku, .. } | Change::Announce { sku } => (sku.clone(), String::new()),
            Change::Restock { request_id, restock } => (restock.sku.clone(), request_id.clone()),
        };
        let made = self.desk.write(vec![change]).await.map_err(Problem::from)?;
        match made.into_iter().next() {
            Some(Ok(item)) => Ok(item.into()),
            Some(Err(NotChanged::NoSuchItem)) => Err(no_item(sku)),
            Some(Err(NotChanged::RequestIdReused)) => Err(Problem::AlreadyExists {
                reason: "REQUEST_ID_REUSED",
                resource_type: "restock",
                description: format!(
                    "request id '{request_id}' was used for another item or quantity; use a new \
                     one for a new request"
                ),
                name: request_id,
            }),
            Some(Err(NotChanged::TooMany)) => {
                Err(Problem::invalid("quantity", format!("is more than {sku} can hold")))
            }
            None => Err(Problem::internal("the desk gave no answer")),
        }
    }
}

#[tonic::async_trait]
impl InventoryService for Api {
    async fn get_item(
        &self,
        request: Request<GetItemRequest>,
    ) -> Result<Response<GetItemResponse>, Status> {
        let GetItemRequest { sku } = request.into_inner();
        let wanted = validation::sku(sku)?;
        let db = self.db.clone();
        let sku = wanted.clone();
        let item = spawned(async move { reads::item(&db, &sku).await }).await?;
        let item = item.ok_or_else(|| no_item(wanted))?;
        Ok(Response::new(GetItemResponse { item: Some(item.into()) }))
    }

    async fn list_items(
        &self,
        request: Request<ListItemsRequest>,
    ) -> Result<Response<ListItemsResponse>, Status> {
        let ListItemsRequest { page_size, page_token } = request.into_inner();
        let page_size = paging::page_size(page_size)?;
        let after: Option<String> = paging::decode(&page_token, &())?;
        let after = after.unwrap_or_default();
        if !after.is_empty() && !can_be_sku(&after) {
            Err(Problem::invalid("page_token", "is not one this server gave out"))?;
        }
        let db = self.db.clone();
        let read = spawned(async move { reads::items_after(&db, &after, page_size + 1).await });
        let (items, next_page_token) =
            paging::page(read.await?, page_size, &(), |item| item.sku.clone(), Into::into)?;
        Ok(Response::new(ListItemsResponse { items, next_page_token }))
    }

    async fn put_item(
        &self,
        request: Request<PutItemRequest>,
    ) -> Result<Response<PutItemResponse>, Status> {
        let change = validation::put(request.into_inner())?;
        let item = self.change(change).await?;
        Ok(Response::new(PutItemResponse { item: Some(item) }))
    }

    async fn restock(
        &self,
        request: Request<RestockRequest>,
    ) -> Result<Response<RestockResponse>, Status> {
        let change = validation::restock(request.into_inner())?;
        let item = self.change(change).await?;
        Ok(Response::new(RestockResponse { item: Some(item) }))
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationResponse>, Status> {
        let id = checks::id("order_id", &request.into_inner().order_id)?;
        let db = self.db.clone();
        let reservation = spawned(async move { reads::reservation(&db, id).await }).await?;
        let reservation = reservation.ok_or_else(|| {
            let name = id.to_string();
            Problem::NotFound { resource_type: "reservation", name }
        })?;
        Ok(Response::new(GetReservationResponse { reservation: Some(reservation) }))
    }

    async fn summarize_stock(
        &self,
        _: Request<SummarizeStockRequest>,
    ) -> Result<Response<SummarizeStockResponse>, Status> {
        let db = self.db.clone();
        let summary = spawned(async move { reads::summary(&db).await }).await?;
        Ok(Response::new(summary))
    }
}

fn no_item(sku: String) -> Problem {
    Problem::NotFound { resource_type: "item", name: sku }
}

impl From<Item> for inventory::Item {
    fn from(item: Item) -> Self {
        inventory::Item {
            price: Some(item.price()),
            sku: item.sku,
            name: item.name,
            available: item.available,
            reserved: item.reserved,
            committed: item.committed,
        }
    }
}
