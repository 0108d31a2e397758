//! What people ask about payments, over gRPC.

mod reads;

use bootstrap::{Problem, checks, paging, spawned};
use proto::payment::{
    GetPaymentRequest, GetPaymentResponse, ListPaymentsRequest, ListPaymentsResponse,
    PaymentStatus, SummarizePaymentsRequest, SummarizePaymentsResponse,
    payment_service_server::PaymentService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status as Refusal};
use uuid::Uuid;

use crate::domain::Status;

#[derive(Debug)]
pub(crate) struct Api {
    db: PgPool,
}

impl Api {
    pub(crate) fn new(db: PgPool) -> Self {
        Api { db }
    }
}

#[tonic::async_trait]
impl PaymentService for Api {
    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Refusal> {
        let id = checks::id("order_id", &request.into_inner().order_id)?;
        let db = self.db.clone();
        let payment = spawned(async move { reads::payment(&db, id).await }).await?;
        let payment = payment
            .ok_or_else(|| Problem::NotFound { resource_type: "payment", name: id.to_string() })?;
        Ok(Response::new(GetPaymentResponse { payment: Some(payment) }))
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Refusal> {
        let ListPaymentsRequest { page_size, page_token, statuses } = request.into_inner();
        let page_size = paging::page_size(page_size)?;
        let labels = checks::statuses(&statuses, label)?;
        let before: Option<Uuid> = paging::decode(&page_token, &labels)?;
        let (db, wanted) = (self.db.clone(), labels.clone());
        let page = spawned(async move { reads::page(&db, before, &wanted, page_size).await });
        let (payments, next) = page.await?;
        let next_page_token = match next {
            Some(next) => paging::encode(&labels, &next)?,
            None => String::new(),
        };
        Ok(Response::new(ListPaymentsResponse { payments, next_page_token }))
    }

    async fn summarize_payments(
        &self,
        _: Request<SummarizePaymentsRequest>,
    ) -> Result<Response<SummarizePaymentsResponse>, Refusal> {
        let db = self.db.clone();
        let summaries = spawned(async move { reads::summaries(&db).await }).await?;
        Ok(Response::new(SummarizePaymentsResponse { summaries }))
    }
}

fn label(number: i32) -> Option<&'static str> {
    let status = match PaymentStatus::try_from(number).ok()? {
        PaymentStatus::Pending => Status::Pending,
        PaymentStatus::Authorized => Status::Authorized,
        PaymentStatus::Declined => Status::Declined,
        PaymentStatus::Captured => Status::Captured,
        PaymentStatus::Voided => Status::Voided,
        PaymentStatus::Unspecified => return None,
    };
    Some(status.label())
}
