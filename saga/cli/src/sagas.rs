//! Sagas as the coordinator knows them: list, show, watch.

mod follow;
mod list;

use proto::saga::{GetSagaRequest, GetSagaResponse, Saga, WatchSagasRequest};
use tonic::Status;

use crate::{
    clients::{Clients, Sagas},
    failure::Failure,
    output::{Format, Tone, paint, print},
    story, units,
};
pub(crate) use follow::{follow, until_stuck};
pub(crate) use list::{ListArgs, list};

/// One saga: its steps, its timeline, and why it stands where it stands
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga show ORDER-ID
  saga show SAGA-ID -o json | jq .journal")]
pub(crate) struct ShowArgs {
    /// The saga's id, or its order's
    id: String,
}

/// Follow one saga to its end, or all sagas as they move
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga watch                       every saga that moves, until Ctrl-C
  saga watch --ended               only their ends
  saga watch ORDER-ID              one saga, until it has ended
  saga watch -o jsonl | jq .status

Exits with 7 when the one saga is stuck: only a person can move it then.")]
pub(crate) struct WatchArgs {
    /// The saga's id, or its order's
    id: Option<String>,
    /// Only the ends of sagas
    #[arg(long, conflicts_with = "id")]
    ended: bool,
    /// Only sagas of this kind
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    definition: Option<String>,
}

pub(crate) async fn show(args: ShowArgs, clients: &Clients, format: Format) -> Result<(), Failure> {
    let story = get(&clients.sagas()?, args.id).await?;
    format.one(&story, |story| story::page(story, &units::now()))
}

/// One saga, by its id or business key.
pub(crate) async fn get(sagas: &Sagas, id: String) -> Result<GetSagaResponse, Failure> {
    sagas.ask(GetSagaRequest { id }, async |mut api, request| api.get_saga(request).await).await
}

pub(crate) async fn watch(
    args: WatchArgs,
    clients: &Clients,
    format: Format,
) -> Result<(), Failure> {
    let sagas = clients.sagas()?;
    match (args.id, format) {
        (Some(id), Format::Table) => {
            // Whether it exists is said at once, not after waiting for it.
            get(&sagas, id.clone()).await?;
            let story = follow(&sagas, &id, |moment| print(&moment.with_clock())).await?;
            print(&story::sentence(&story, &units::now()))
        }
        (Some(id), Format::Json | Format::Jsonl) => watch_one(&sagas, id, format).await,
        (None, _) => {
            let definition = args.definition.unwrap_or_default();
            let request =
                WatchSagasRequest { id: String::new(), ended_only: args.ended, definition };
            watch_all(&sagas, request, format).await
        }
    }
}

async fn watch_all(
    sagas: &Sagas,
    request: WatchSagasRequest,
    format: Format,
) -> Result<(), Failure> {
    let mut moves = open(sagas, request).await?;
    while let Some(moved) = moves.message().await.map_err(|status| sagas.failure(&status))? {
        for saga in &moved.sagas {
            format.event(saga, as_line)?;
        }
        if moved.moves_missed {
            crate::output::talk("some moves were left out here: this reader is too slow");
        }
    }
    Err(cut_off(sagas))
}

/// The stream ended before what was watched.
fn cut_off(sagas: &Sagas) -> Failure {
    sagas.failure(&Status::unavailable("it stops and tells no more"))
}

/// The stream is opened before the saga is read, so that no move falls in between.
async fn watch_one(sagas: &Sagas, id: String, format: Format) -> Result<(), Failure> {
    let request = WatchSagasRequest { id: id.clone(), ..WatchSagasRequest::default() };
    let mut moves = open(sagas, request).await?;
    let mut last = get(sagas, id.clone()).await?.saga.unwrap_or_default();
    format.event(&last, as_line)?;
    while !story::has_ended(&last) {
        follow::check_moves(&last)?;
        let next = moves.message().await.map_err(|status| sagas.failure(&status))?;
        let moved = next.ok_or_else(|| cut_off(sagas))?;
        let mut seen = moved.sagas;
        if moved.moves_missed {
            seen.extend(get(sagas, id.clone()).await?.saga);
        }
        for saga in seen {
            if saga.revision > last.revision {
                format.event(&saga, as_line)?;
                last = saga;
            }
        }
    }
    Ok(())
}

async fn open(
    sagas: &Sagas,
    request: WatchSagasRequest,
) -> Result<tonic::Streaming<proto::saga::WatchSagasResponse>, Failure> {
    sagas.stream(request, async |mut api, request| api.watch_sagas(request).await).await
}

fn as_line(saga: &Saga) -> String {
    let (tone, status) = story::status(saga.status());
    let waits_for: Vec<_> = saga.waits_for.iter().map(String::as_str).collect();
    let detail = match (saga.stuck_reason.as_str(), saga.cause.as_str()) {
        ("", "") if waits_for.is_empty() => String::new(),
        ("", "") => format!("waits for {}", story::and(&waits_for)),
        ("", cause) => cause.to_owned(),
        (stuck_reason, _) => format!("{}: {stuck_reason}", saga.stuck_step),
    };
    format!(
        "{}  {}  {} {}  {}",
        paint(Tone::Dim, &units::clock(saga.moved_at.as_ref())),
        saga.key,
        paint(tone, &format!("{status:<12}")),
        saga.definition,
        paint(Tone::Dim, &detail)
    )
}
