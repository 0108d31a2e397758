//! The order service over gRPC. Writes go through the writer and reads are spawned, so that a
//! caller who goes away leaves no database work half done.

mod answers;
mod streams;

use std::{sync::Arc, time::SystemTime};

use bootstrap::{Problem, checks, paging, spawned, time, tracer};
use futures::stream::BoxStream;
use messaging::{Writes, message::span_id};
use proto::order::{
    CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, ListCatalogRequest,
    ListCatalogResponse, ListOrdersRequest, ListOrdersResponse, PlaceOrderRequest,
    PlaceOrderResponse, SubmitAndFollowRequest, SubmitAndFollowResponse, SubmitOrdersRequest,
    SubmitOrdersResponse, SummarizeOrdersRequest, SummarizeOrdersResponse, WatchOrderRequest,
    WatchOrderResponse, order_service_server::OrderService,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::{
    SERVICE,
    changes::Changes,
    domain::Order,
    placing::{Placing, check_customer_id, check_reason},
    refused::Refused,
    store,
    writes::{OrderWriter, Write},
};

/// Answers the calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    db: PgPool,
    writes: Writes<OrderWriter>,
    changes: Changes,
}

#[tonic::async_trait]
impl OrderService for Orders {
    type WatchOrderStream = BoxStream<'static, Result<WatchOrderResponse, Status>>;
    type SubmitAndFollowStream = BoxStream<'static, Result<SubmitAndFollowResponse, Status>>;

    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let placing = Placing::parse(request.into_inner()).map_err(Problem::from)?;
        let order = self.place(Arc::new(placing)).await?;
        Ok(Response::new(PlaceOrderResponse { order: Some(order.into()) }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let order = self.order(checks::id("order_id", &request.get_ref().order_id)?).await?;
        Ok(Response::new(GetOrderResponse { order: Some(order.into()) }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let ListOrdersRequest { page_size, page_token, statuses, customer_id } =
            request.into_inner();
        let limit = paging::page_size(page_size)?;
        check_customer_id(&customer_id)?;
        let statuses = checks::statuses(&statuses, answers::status)?;
        let filter = store::Filter { statuses, customer_id };
        let names: Vec<&str> = filter.statuses.iter().map(|status| status.as_str()).collect();
        let filters = (names, filter.customer_id.clone());
        let before = paging::decode(&page_token, &filters)?.unwrap_or(Uuid::max());

        let db = self.db.clone();
        // One more than asked for tells whether there is a next page.
        let read = async move { store::list(&db, &filter, before, limit + 1).await };
        let (orders, next_page_token) =
            paging::page(spawned(read).await?, limit, &filters, |order| order.id, Into::into)?;
        Ok(Response::new(ListOrdersResponse { orders, next_page_token }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let CancelOrderRequest { order_id: id, reason } = request.into_inner();
        let order_id = checks::id("order_id", &id)?;
        check_reason(&reason)?;
        let order = self.write(Write::Cancel { order_id, reason }).await?;
        Ok(Response::new(CancelOrderResponse { order: Some(order.into()) }))
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let order_id = checks::id("order_id", &request.get_ref().order_id)?;
        Ok(Response::new(self.watch(order_id).await?))
    }

    async fn submit_orders(
        &self,
        request: Request<Streaming<SubmitOrdersRequest>>,
    ) -> Result<Response<SubmitOrdersResponse>, Status> {
        let submissions = self.submit(request.into_inner()).await?;
        Ok(Response::new(SubmitOrdersResponse { submissions }))
    }

    async fn submit_and_follow(
        &self,
        request: Request<Streaming<SubmitAndFollowRequest>>,
    ) -> Result<Response<Self::SubmitAndFollowStream>, Status> {
        Ok(Response::new(self.clone().follow_all(request.into_inner())))
    }

    async fn list_catalog(
        &self,
        request: Request<ListCatalogRequest>,
    ) -> Result<Response<ListCatalogResponse>, Status> {
        let ListCatalogRequest { page_size, page_token } = request.into_inner();
        let limit = paging::page_size(page_size)?;
        let after: String = paging::decode(&page_token, &())?.unwrap_or_default();
        if after.contains('\0') {
            Err(Problem::invalid("page_token", "is not one this server gave out"))?;
        }
        let db = self.db.clone();
        let items = spawned(async move { store::catalog(&db, &after, limit + 1).await }).await?;
        let (items, next_page_token) =
            paging::page(items, limit, &(), |item| item.sku.clone(), Into::into)?;
        Ok(Response::new(ListCatalogResponse { items, next_page_token }))
    }

    async fn summarize_orders(
        &self,
        request: Request<SummarizeOrdersRequest>,
    ) -> Result<Response<SummarizeOrdersResponse>, Status> {
        let placed_after = request.into_inner().placed_after;
        let placed_after = placed_after.map(|at| time("placed_after", at)).transpose()?;
        let placed_after = placed_after.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let db = self.db.clone();
        let sums = spawned(async move { store::sums(&db, placed_after).await }).await?;
        let summaries = sums.into_iter().map(Into::into).collect();
        Ok(Response::new(SummarizeOrdersResponse { summaries }))
    }
}

impl Orders {
    pub(crate) fn new(db: PgPool, writes: Writes<OrderWriter>, changes: Changes) -> Self {
        Orders { db, writes, changes }
    }

    async fn place(&self, placing: Arc<Placing>) -> Result<Order, Problem> {
        let started_at = SystemTime::now();
        let order_id = placing.order_id;
        let order = self.write(Write::Place(placing)).await?;
        if order.id == order_id && tracer::enabled() {
            tracer::export(placed_span(&order, started_at));
        }
        Ok(order)
    }

    async fn write(&self, write: Write) -> Result<Order, Problem> {
        match self.writes.write(write).await {
            Ok(answer) => Ok(answer?),
            Err(why) => Err(why.into()),
        }
    }

    async fn order(&self, order_id: Uuid) -> Result<Order, Problem> {
        let db = self.db.clone();
        let order = spawned(async move { store::get(&db, order_id).await }).await?;
        order.ok_or_else(|| Refused::NoSuchOrder(order_id).into())
    }
}

/// The beginning of the order's trace: all that follows from it hangs below.
fn placed_span(order: &Order, started_at: SystemTime) -> tracer::FinishedSpan {
    tracer::FinishedSpan {
        service: SERVICE,
        trace_id: order.id.as_u128(),
        span_id: span_id(order.id),
        parent_span_id: None,
        name: "PlaceOrder".to_owned(),
        kind: tracer::Kind::Server,
        started_at,
        finished_at: SystemTime::now(),
        error: None,
        attributes: vec![("order.id", order.id.to_string())],
    }
}
