//! gRPC: where sagas stand, and what operators may do about it.

use std::{future::Future, sync::Arc};

use bootstrap::{Problem, Violations, checks, paging, spawned};
use messaging::{Writes, message::first_id_at};
use proto::saga::{self as pb, saga_service_server::SagaService};
use saga_core::{Entry, Registry, Verb};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    journal::Stored,
    movements::Movements,
    operator::{Ask, Done, Intervention, Operator},
    queries::{self, Filter},
    view, watch,
};

/// What an operator may write, in characters.
const TEXT_MAX: usize = 1_000;

/// Serves `saga.v1.SagaService`.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) db: PgPool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) movements: Movements,
    pub(crate) operator: Writes<Operator>,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl SagaService for Api {
    type WatchSagasStream = ReceiverStream<Result<pb::WatchSagasResponse, Status>>;

    async fn get_saga(
        &self,
        request: Request<pb::GetSagaRequest>,
    ) -> Result<Response<pb::GetSagaResponse>, Status> {
        let id = required("id", request.into_inner().id)?;
        let (db, registry) = (self.db.clone(), Arc::clone(&self.registry));
        detached(async move {
            let found = queries::find(&db, &id).await?.ok_or_else(|| unknown(&id))?;
            let journal = queries::journal(&db, &found).await?;
            let instance = &found.instance;
            let saga = found.saga(&registry);
            let steps = saga.map(|saga| view::steps(saga.definition(), instance));
            let entries: Option<Vec<Entry>> = journal.iter().map(Stored::to_entry).collect();
            let led_to = saga.zip(entries).and_then(|(saga, entries)| saga.fold(&entries));
            Ok(pb::GetSagaResponse {
                saga: Some(view::saga(&found.times(), found.id, &found.key, instance)),
                steps: steps.unwrap_or_default(),
                journal: journal.into_iter().map(view::entry).collect(),
                data_json: instance.data.to_string(),
                journal_agrees: led_to.as_ref() == Some(&**instance),
            })
        })
        .await
    }

    async fn list_sagas(
        &self,
        request: Request<pb::ListSagasRequest>,
    ) -> Result<Response<pb::ListSagasResponse>, Status> {
        let request = request.into_inner();
        let page_size = paging::page_size(request.page_size)?;
        let filter = filter(&request)?;
        let before: Option<Uuid> = paging::decode(&request.page_token, &filter)?;
        let db = self.db.clone();
        detached(async move {
            let found = queries::list(&db, &filter, before, page_size + 1).await?;
            let saga = |found: queries::Found| {
                view::saga(&found.times(), found.id, &found.key, &found.instance)
            };
            let (sagas, next_page_token) =
                paging::page(found, page_size, &filter, |found| found.id, saga)?;
            Ok(pb::ListSagasResponse { sagas, next_page_token })
        })
        .await
    }

    async fn watch_sagas(
        &self,
        request: Request<pb::WatchSagasRequest>,
    ) -> Result<Response<Self::WatchSagasStream>, Status> {
        let pb::WatchSagasRequest { id, ended_only, definition } = request.into_inner();
        let (sender, receiver) = mpsc::channel(watch::WAITING_MAX);
        let (movements, shutdown) = (self.movements.clone(), self.shutdown.clone());
        if id.is_empty() {
            let wanted = watch::Wanted { ended_only, definition };
            tokio::spawn(watch::all(movements, wanted, sender, shutdown));
        } else {
            if !definition.is_empty() {
                Err(Problem::invalid(
                    "definition",
                    "is for watching many; leave it out with an id",
                ))?;
            }
            let id = required("id", id)?;
            let (db, wanted) = (self.db.clone(), id.clone());
            detached(async move {
                queries::find(&db, &wanted).await?.ok_or_else(|| unknown(&wanted))?;
                Ok(())
            })
            .await?;
            let db = self.db.clone();
            tokio::spawn(watch::one(db, movements, id, ended_only, sender, shutdown));
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_definitions(
        &self,
        _: Request<pb::ListDefinitionsRequest>,
    ) -> Result<Response<pb::ListDefinitionsResponse>, Status> {
        let summary = |saga| view::definition(saga, self.registry.is_current(saga.version()));
        let definitions = self.registry.sagas().map(summary).collect();
        Ok(Response::new(pb::ListDefinitionsResponse { definitions }))
    }

    async fn cancel_saga(
        &self,
        request: Request<pb::CancelSagaRequest>,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let pb::CancelSagaRequest { id, by, reason, request_id } = request.into_inner();
        self.intervene(Verb::Cancel, id, by, reason, request_id).await
    }

    async fn pause_saga(
        &self,
        request: Request<pb::PauseSagaRequest>,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let pb::PauseSagaRequest { id, by, reason, request_id } = request.into_inner();
        self.intervene(Verb::Pause, id, by, reason, request_id).await
    }

    async fn resume_saga(
        &self,
        request: Request<pb::ResumeSagaRequest>,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let pb::ResumeSagaRequest { id, by, reason, request_id } = request.into_inner();
        self.intervene(Verb::Resume, id, by, reason, request_id).await
    }

    async fn retry_step(
        &self,
        request: Request<pb::RetryStepRequest>,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let pb::RetryStepRequest { id, by, reason, request_id } = request.into_inner();
        self.intervene(Verb::Retry, id, by, reason, request_id).await
    }

    async fn skip_step(
        &self,
        request: Request<pb::SkipStepRequest>,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let pb::SkipStepRequest { id, by, reason, request_id, step, reply } = request.into_inner();
        let step = required("step", step)?;
        self.intervene(Verb::Skip { step, reply }, id, by, reason, request_id).await
    }

    async fn resolve_saga(
        &self,
        request: Request<pb::ResolveSagaRequest>,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let pb::ResolveSagaRequest { id, by, reason, request_id } = request.into_inner();
        self.intervene(Verb::Resolve, id, by, reason, request_id).await
    }
}

impl Api {
    async fn intervene(
        &self,
        verb: Verb,
        id: String,
        by: String,
        reason: String,
        request_id: String,
    ) -> Result<Response<pb::InterveneResponse>, Status> {
        let wanted = Intervention {
            id: required("id", id)?,
            verb,
            by: required("by", by)?,
            reason: required("reason", reason)?,
            request_id: request_id_in(request_id)?,
        };
        let (id, request_id) = (wanted.id.clone(), wanted.request_id.clone());
        let done = self.operator.write(Ask::Intervene(wanted)).await.map_err(Problem::from)?;
        let db = self.db.clone();
        detached(async move {
            let saga_id = match done {
                Done::Intervened(saga_id) => saga_id.to_string(),
                Done::NotFound => return Err(unknown(&id)),
                Done::NotAllowed(why) => {
                    let description = format!("{why}: see where it stands with `saga show {id}`");
                    return Err(Problem::FailedPrecondition { reason: "NOT_ALLOWED", description });
                }
                Done::RequestIdReused => {
                    return Err(Problem::AlreadyExists {
                        reason: "REQUEST_ID_REUSED",
                        resource_type: "request",
                        description: format!(
                            "the request id '{request_id}' was used for something else: choose a new one"
                        ),
                        name: request_id,
                    });
                }
                Done::Woken(_) => return Err(Problem::internal("an answer to another question")),
            };
            let found = queries::find(&db, &saga_id).await?.ok_or_else(|| unknown(&saga_id))?;
            let saga = view::saga(&found.times(), found.id, &found.key, &found.instance);
            Ok(pb::InterveneResponse { saga: Some(saga) })
        })
        .await
    }
}

async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<Response<T>, Status> {
    Ok(Response::new(spawned(work).await?))
}

fn request_id_in(request_id: String) -> Result<String, Problem> {
    let mut found = Violations::default();
    found.check_request_id(&request_id);
    found.or(request_id)
}

fn required(field: &str, text: String) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::invalid(field, "must be given"));
    }
    short(field, text)
}

fn short(field: &str, text: String) -> Result<String, Problem> {
    let length = text.chars().count();
    if length > TEXT_MAX {
        let what = format!("has {length} characters, {TEXT_MAX} are allowed");
        return Err(Problem::invalid(field, what));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::invalid(field, "has a control character, such as a line break"));
    }
    Ok(text)
}

fn unknown(id: &str) -> Problem {
    Problem::NotFound { resource_type: "saga", name: id.to_owned() }
}

/// In seconds.
const QUIET_MAX: i64 = 100 * 366 * 24 * 3_600;

fn filter(request: &pb::ListSagasRequest) -> Result<Filter, Problem> {
    let label = |number| pb::SagaStatus::try_from(number).ok().and_then(view::label);
    let time = |field, at: Option<_>| at.map(|at| bootstrap::time(field, at)).transpose();
    let quiet_for = request.quiet_for.map(|duration| duration.seconds);
    if quiet_for.is_some_and(|seconds| !(0..=QUIET_MAX).contains(&seconds)) {
        return Err(Problem::invalid("quiet_for", "must be from nothing to 100 years"));
    }
    Ok(Filter {
        statuses: checks::statuses(&request.statuses, label)?,
        definition: short("definition", request.definition.clone())?,
        key: short("key", request.key.clone())?,
        step: short("step", request.step.clone())?,
        error: short("error", request.error.clone())?,
        started_after: time("started_after", request.started_after)?.map(first_id_at),
        started_before: time("started_before", request.started_before)?.map(first_id_at),
        quiet_for,
    })
}

#[cfg(test)]
mod tests;
