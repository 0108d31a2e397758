//! Loads the running system with orders, measures from the intended send time to the end of each
//! saga, and checks the books afterwards.

mod books;
mod follow;
mod ledger;
mod load;
mod progress;
mod report;
mod sample;
mod stock;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    clients::Clients,
    failure::Failure,
    output::{Format, talk},
    units,
};
use books::Books;
use ledger::Ledger;
use load::{Load, Pace};
use report::Report;

/// Load the running system and check the books
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga bench --rate 500 --duration 30s          open loop: 500 orders a second, come what may
  saga bench --max                              as many as it can take, with a bounded backlog
  saga bench --rate 100 --decline 5% -o json    one order in 20 has a declined card

An order counts when its saga has ended. Latencies run from the time an order was to be sent, so
that a system that stalls does not hide it. Ctrl-C ends the load early; the report still comes.
Exits with 7 when the books do not balance.")]
#[command(group = clap::ArgGroup::new("pace").required(true))]
pub(crate) struct Args {
    /// Orders a second, sent on time whatever the system does
    #[arg(long, value_name = "RATE", group = "pace",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// As many as the system can take
    #[arg(long, group = "pace")]
    max: bool,
    /// How long to load and measure, after the warm-up
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = units::duration)]
    duration: Duration,
    /// How long to load before measuring begins; a fresh broker takes its time to compile itself
    #[arg(long, default_value = "15s", value_name = "DURATION",
          value_parser = units::duration_or_none)]
    warmup: Duration,
    /// Share of orders whose card is declined
    #[arg(long, default_value = "0%", value_name = "PERCENT", value_parser = units::percent)]
    decline: f64,
    /// Most orders that may be open, which is sent and not ended [default: 4000, or 20000 of --rate]
    #[arg(long, value_name = "ORDERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: Option<u32>,
    /// Connections to the order service
    #[arg(long, default_value_t = 4, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
}

pub(crate) async fn run(args: Args, clients: &Clients, format: Format) -> Result<(), Failure> {
    let patient = Clients::at(clients.addresses().clone(), SUMMARY_TIMEOUT);
    let skus = stock::prepare(&clients.inventory()?, expected_orders(&args)).await?;
    // An order of somebody else that is half done would look like one of ours that got lost.
    let before = Books::read_settled(&patient, &Books::default(), STRANGERS_PATIENCE).await?;

    let stop = bootstrap::stop_signal();
    let begun_at = Instant::now();
    let ends_at = begun_at + args.warmup + args.duration;
    let ledger = Ledger::new(begun_at + args.warmup..ends_at)
        .map_err(|error| Failure::new("cannot measure").why(error.to_string()))?;
    let ledger = Arc::new(ledger);
    let following = follow::start(&clients.sagas()?, Arc::clone(&ledger)).await?;
    let asking = follow::ask_about_the_old(clients.orders()?, Arc::clone(&ledger));
    let talking = progress::start(Arc::clone(&ledger), begun_at, args.warmup);

    let load = Load {
        pace: args.rate.map_or(Pace::Saturating, Pace::Rate),
        ends_at,
        decline: args.decline,
        open_max: open_max(&args) as usize,
        skus,
    };
    load::run(load, args.connections, clients, &ledger, stop.clone()).await?;
    let measured = ledger.end_measuring();

    let was_stopped = stop.is_cancelled();
    let open_at_the_end = ledger.open_count();
    talk(&format!(
        "load ended, {} orders open: waiting for them",
        units::count(open_at_the_end as u64)
    ));
    let drained = tokio::select! {
        drained = ledger.drained(DRAIN_PATIENCE) => drained,
        // The Ctrl-C that ended the load is no reason not to wait for them.
        () = stop.cancelled(), if !was_stopped => None,
    };
    for task in [following, asking, talking] {
        task.abort();
    }

    let after = Books::read_settled(&patient, &before, SETTLE_PATIENCE).await;
    let journeys = sample::read(&clients.sagas()?, &ledger.sample()).await;
    let journeys = journeys.unwrap_or_else(|failure| {
        talk(&failure.text());
        Vec::new()
    });
    let (booked, unread) = match after {
        Ok(after) => (Some(after), None),
        Err(failure) => (None, Some(failure)),
    };
    let wrong = booked.as_ref().map(|after| books::imbalances(&before, after, ledger.counts()));
    let report = Report::new(
        &ledger,
        &journeys,
        report::Facts {
            measured,
            open_at_the_end,
            drained,
            imbalances: wrong,
            difference: booked.map(|after| after.since(&before)),
        },
    );
    format.value(&report, || report.as_text())?;
    match unread {
        Some(failure) => Err(failure.cause_of("nobody knows whether the books balance")),
        None => report.verdict(),
    }
}

fn open_max(args: &Args) -> u32 {
    args.in_flight.unwrap_or(if args.max { OPEN_MAX_SATURATING } else { OPEN_MAX_PACED })
}

/// What is restocked for: no more than a system of this kind can take in that time.
fn expected_orders(args: &Args) -> u64 {
    let rate = args.rate.unwrap_or(EXPECTED_RATE_MAX);
    let seconds = (args.warmup + args.duration).as_secs_f64().ceil();
    f64::from(rate).mul_add(seconds, f64::from(open_max(args))) as u64
}

const OPEN_MAX_SATURATING: u32 = 4_000;
const OPEN_MAX_PACED: u32 = 20_000;
const EXPECTED_RATE_MAX: u32 = 20_000;
/// Summaries read every order there is.
const SUMMARY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the load waits for what others have under way.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(5);
/// A customer of somebody else whose card does not answer is let down by then.
const SETTLE_PATIENCE: Duration = Duration::from_secs(25);
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);
