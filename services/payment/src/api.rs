//! What people ask about payments, over gRPC.

mod reads;

use bootstrap::{Problem, paging, spawned};
use proto::payment::{
    GetPaymentRequest, GetPaymentResponse, ListPaymentsRequest, ListPaymentsResponse,
    PaymentStatus, SummarizePaymentsRequest, SummarizePaymentsResponse,
    payment_service_server::PaymentService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status as Refusal};
use uuid::Uuid;

use crate::domain::{Status, order_id};

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
        let name = request.into_inner().order_id;
        let id = order_id(&name)
            .ok_or_else(|| Problem::invalid("order_id", "must be a UUID in lower case"))?;
        let db = self.db.clone();
        let payment = spawned(async move { reads::payment(&db, id).await }).await?;
        let payment = payment.ok_or(Problem::NotFound { resource_type: "payment", name })?;
        Ok(Response::new(GetPaymentResponse { payment: Some(payment) }))
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Refusal> {
        let ListPaymentsRequest { page_size, page_token, statuses } = request.into_inner();
        let page_size = paging::page_size(page_size)?;
        let labels = labels(&statuses)?;
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

/// Sorted and each once, so that the same filter is the same filter.
fn labels(statuses: &[i32]) -> Result<Vec<&'static str>, Problem> {
    let label = |number: &i32| match PaymentStatus::try_from(*number) {
        Ok(PaymentStatus::Pending) => Ok(Status::Pending.label()),
        Ok(PaymentStatus::Authorized) => Ok(Status::Authorized.label()),
        Ok(PaymentStatus::Declined) => Ok(Status::Declined.label()),
        Ok(PaymentStatus::Captured) => Ok(Status::Captured.label()),
        Ok(PaymentStatus::Voided) => Ok(Status::Voided.label()),
        Ok(PaymentStatus::Unspecified) | Err(_) => {
            let known = "are 1 (pending), 2 (authorized), 3 (declined), 4 (captured), 5 (voided)";
            Err(Problem::invalid("statuses", format!("{known}; {number} is none of them")))
        }
    };
    let mut labels = statuses.iter().map(label).collect::<Result<Vec<_>, _>>()?;
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}
