//! The first thing a new user sees: one order that is confirmed, one that is undone, step by step.

mod scene;
mod telling;

use proto::order::OrderStatus;

use crate::{
    args::Global,
    clients::Clients,
    failure::Failure,
    output::{Format, print},
    up::{self, Claimed, System},
};

/// See one order confirmed and one undone, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga demo                  starts the system if none is running, and leaves it running
  saga demo --exit           stops it again
  saga demo --fresh          with empty databases and topics
  saga demo -o json          the two sagas as data")]
pub(crate) struct Args {
    #[command(flatten)]
    start: up::Start,

    /// Stop the system afterwards, if it was started for this
    #[arg(long)]
    exit: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let common = up::common(&args.start, up::CALM_LOG)?;
    let _telemetry = bootstrap::telemetry::init("saga", &common)?;
    let stop = bootstrap::stop_signal();
    let claim = match up::claim(&args.start, global, &stop).await? {
        Claimed::Ours(claim) => claim,
        Claimed::Theirs(running) => {
            let clients = Clients::at(running.addresses.clone(), global.timeout);
            tokio::select! {
                shown = show(&clients, global.output) => shown?,
                () = stop.cancelled() => return Ok(()),
            }
            let advice = up::welcome(&running, "\nIt was running before, and goes on.");
            return leave(&advice, global.output);
        }
    };

    let system = System::start(claim, &args.start, &common, &stop).await?;
    let clients = Clients::at(system.running().addresses, global.timeout);
    let shown = tokio::select! {
        shown = show(&clients, global.output) => shown,
        () = stop.cancelled() => Ok(()),
    };
    let goes_on = !args.exit && !stop.is_cancelled();
    let told = shown.and_then(|()| {
        let advice = up::welcome(&system.running(), up::STOP_HINT);
        if goes_on { leave(&advice, global.output) } else { Ok(()) }
    });
    if told.is_ok() && goes_on {
        return system.until_stopped(&stop).await;
    }
    let stopped = system.stop().await;
    told.and(stopped)
}

/// How the two orders must end.
const EXPECTED: [OrderStatus; 2] = [OrderStatus::Confirmed, OrderStatus::Cancelled];

async fn show(clients: &Clients, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table => telling::tell(clients).await,
        Format::Json | Format::Jsonl => {
            let mut stories = Vec::new();
            let mut as_expected = Ok(());
            for (scene, expected) in scene::both(clients).await?.iter().zip(EXPECTED) {
                let played = scene.play(clients, |_| Ok(())).await?;
                as_expected = as_expected.and(telling::check(&played, expected));
                stories.push(played.story);
            }
            format.list(&stories, |_| String::new())?;
            as_expected
        }
    }
}

/// Advice is for people: programs get the data only.
fn leave(advice: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table => print(&format!("\n{advice}")),
        Format::Json | Format::Jsonl => Ok(()),
    }
}
