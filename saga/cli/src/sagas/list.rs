//! Which sagas there are.

use std::time::{Duration, SystemTime};

use proto::saga::{ListSagasRequest, Saga, SagaStatus};

use crate::{
    clients::Clients,
    failure::Failure,
    output::{Format, lines, table},
    pages, story, units,
};

/// Sagas, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga list --since 10m
  saga list --status stuck --status paused
  saga list --step authorize-payment --error declined
  saga list --status running --quiet-for 1m
  saga list -o jsonl | jq -r .sagaId")]
pub(crate) struct ListArgs {
    /// Only in this status
    #[arg(long, value_name = "STATUS")]
    status: Vec<Status>,
    /// Only those that began this long ago or later
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    since: Option<Duration>,
    /// Only those that did not move for this long
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    quiet_for: Option<Duration>,
    /// Only of this kind
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,
    /// Only of this order
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only those whose outstanding, refused or stuck step this is
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Only those with this in the reason
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// Where a saga stands.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    Running,
    Compensating,
    Paused,
    Stuck,
    Completed,
    Compensated,
    Resolved,
}

impl From<Status> for SagaStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Compensating => Self::Compensating,
            Status::Paused => Self::Paused,
            Status::Stuck => Self::Stuck,
            Status::Completed => Self::Completed,
            Status::Compensated => Self::Compensated,
            Status::Resolved => Self::Resolved,
        }
    }
}

pub(crate) async fn list(args: ListArgs, clients: &Clients, format: Format) -> Result<(), Failure> {
    let sagas = clients.sagas()?;
    let limit = args.limit;
    let request = request(args);
    let listed = pages::up_to(limit, async |page_size, page_token| {
        let request = ListSagasRequest { page_size, page_token, ..request.clone() };
        let page = sagas.ask(request, async |mut api, request| api.list_sagas(request).await);
        page.await.map(|page| (page.sagas, page.next_page_token))
    });
    format.list(&listed.await?, as_table)
}

fn request(args: ListArgs) -> ListSagasRequest {
    let since = args.since.and_then(|since| SystemTime::now().checked_sub(since));
    let quiet_for = args.quiet_for.and_then(|quiet| prost_types::Duration::try_from(quiet).ok());
    ListSagasRequest {
        statuses: args.status.into_iter().map(|status| SagaStatus::from(status).into()).collect(),
        definition: args.definition.unwrap_or_default(),
        key: args.key.unwrap_or_default(),
        step: args.step.unwrap_or_default(),
        error: args.error.unwrap_or_default(),
        started_after: since.map(Into::into),
        quiet_for,
        ..ListSagasRequest::default()
    }
}

fn as_table(sagas: &[Saga]) -> String {
    let headings = ["SAGA", "KIND", "ORDER", "STATUS", "BEGAN (UTC)", "TOOK", "WHY OR WAITS FOR"];
    let mut table = table(&headings);
    for saga in sagas {
        let took = units::between(saga.started_at.as_ref(), saga.ended_at.as_ref());
        table.add_row([
            saga.saga_id.clone(),
            saga.definition.clone(),
            saga.key.clone(),
            story::status(saga.status()).1.to_owned(),
            units::date(saga.started_at.as_ref()),
            took.map_or_else(|| "-".to_owned(), units::brief),
            reason(saga),
        ]);
    }
    lines(&table)
}

fn reason(saga: &Saga) -> String {
    if !saga.stuck_reason.is_empty() {
        format!("{}: {}", saga.stuck_step, saga.stuck_reason)
    } else if !saga.cause.is_empty() {
        saga.cause.clone()
    } else {
        saga.waits_for.join(", ")
    }
}
