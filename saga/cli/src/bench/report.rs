//! What a bench found, for people and for programs.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use proto::saga::Direction;

use super::{
    books::Difference,
    ledger::{Counts, Ledger},
};
use crate::{
    advice::here,
    failure::Failure,
    output::{Tone, lines, paint, table},
    story::Journey,
    units,
};

/// What the load alone does not tell.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) measured: Duration,
    pub(super) open_at_the_end: usize,
    /// How long the open orders took to end; nothing when they did not.
    pub(super) drained: Option<Duration>,
    /// Nothing when the books could not be read, as below.
    pub(super) imbalances: Option<Vec<String>>,
    pub(super) difference: Option<Difference>,
}

/// The whole report.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    measured_seconds: f64,
    completed_per_second: f64,
    confirmed_per_second: f64,
    sent_per_second: f64,
    /// Of what was to be sent within the measured time.
    measured: Counts,
    /// Over the whole load, warm-up and drain included.
    total: Counts,
    failures: BTreeMap<String, u64>,
    found_by_asking: u64,
    latency_to_acknowledgement: Option<Latency>,
    latency_to_end: Option<Latency>,
    open_max: usize,
    open_at_the_end: usize,
    drained_ms: Option<f64>,
    steps: Vec<Spent>,
    booked: Option<Difference>,
    /// Not known, which is not none, when the books could not be read.
    imbalances: Option<Vec<String>>,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

/// Where the time of one kind of command went; medians over the sample, in milliseconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Spent {
    command: String,
    sampled: usize,
    round_trip_ms: f64,
    under_way_ms: Option<f64>,
    waiting_ms: Option<f64>,
    at_work_ms: Option<f64>,
}

impl Report {
    pub(super) fn new(ledger: &Ledger, journeys: &[Journey], facts: Facts) -> Self {
        let seconds = facts.measured.as_secs_f64().max(0.001);
        ledger
            .read(|measured| Self {
                measured_seconds: seconds,
                completed_per_second: rounded(measured.ended_in_time as f64 / seconds),
                confirmed_per_second: rounded(measured.confirmed_in_time as f64 / seconds),
                sent_per_second: rounded(measured.counts.sent as f64 / seconds),
                measured: measured.counts,
                total: Counts::default(),
                failures: measured.failures.iter().map(|(code, n)| (code.clone(), *n)).collect(),
                found_by_asking: measured.found_by_asking,
                latency_to_acknowledgement: Latency::of(&measured.acknowledged),
                latency_to_end: Latency::of(&measured.ended),
                open_max: measured.open_max,
                open_at_the_end: facts.open_at_the_end,
                drained_ms: facts.drained.map(ms),
                steps: spent(journeys),
                booked: facts.difference,
                imbalances: facts.imbalances,
            })
            .with_total(ledger.counts())
    }

    fn with_total(self, total: Counts) -> Self {
        Self { total, ..self }
    }

    /// # Errors
    /// When the books do not balance, or orders did not end.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if let Some(imbalances) = self.imbalances.as_ref().filter(|them| !them.is_empty()) {
            let failure = Failure::check("the books do not balance");
            return Err(imbalances.iter().fold(failure, Failure::why));
        }
        match self.drained_ms {
            Some(_) => Ok(()),
            None => Err(Failure::check("some orders did not end")
                .next(format!("{} shows which", here("list --status running --status stuck")))),
        }
    }

    pub(super) fn as_text(&self) -> String {
        if self.measured.sent == 0 {
            return format!(
                "nothing was measured: {} orders were sent and {} taken before{}\n\n{}",
                units::count(self.total.sent),
                units::count(self.total.acknowledged),
                self.failures(),
                self.books()
            );
        }
        let mut text = format!(
            "{} completed sagas/s over {:.0} s\n  \
             {} sent, {} taken, {} confirmed, {} cancelled, {} failed\n  \
             open at most {}, {} when the load ended, {}",
            paint(Tone::Strong, &format!("{:.0}", self.completed_per_second)),
            self.measured_seconds,
            units::count(self.measured.sent),
            units::count(self.measured.acknowledged),
            units::count(self.measured.confirmed),
            units::count(self.measured.cancelled),
            units::count(self.measured.failed),
            units::count(self.open_max as u64),
            units::count(self.open_at_the_end as u64),
            self.drained_ms.map_or_else(
                || "which did not all end".to_owned(),
                |ms| format!(
                    "all ended {} later",
                    units::brief(Duration::from_secs_f64(ms / 1_000.0))
                ),
            ),
        );
        text.push_str(&self.failures());
        if self.found_by_asking > 0 {
            let count = units::count(self.found_by_asking);
            text.push_str(&format!("\n  {count} ends were found by asking, without a latency"));
        }
        format!("{text}\n\n{}\n\n{}{}", self.latencies(), self.steps(), self.books())
    }

    fn failures(&self) -> String {
        let line = |(code, count): (&String, &u64)| {
            format!("\n  {} failed with {code}", units::count(*count))
        };
        self.failures.iter().map(line).collect()
    }

    fn latencies(&self) -> String {
        let mut table =
            table(&["FROM THE INTENDED SEND TIME", "p50", "p90", "p99", "p99.9", "max", "orders"]);
        for (name, latency) in [
            ("to the acknowledgement", self.latency_to_acknowledgement),
            ("to the saga's end", self.latency_to_end),
        ] {
            let mut row = vec![name.to_owned()];
            if let Some(Latency { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, count }) = latency {
                row.extend([p50_ms, p90_ms, p99_ms, p999_ms, max_ms].map(written));
                row.push(units::count(count));
            } else {
                row.extend(["-"; 5].map(str::to_owned));
                row.push(units::count(0_u64));
            }
            table.add_row(row);
        }
        lines(&table)
    }

    fn steps(&self) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut table = table(&[
            "WHERE IT WENT (p50)",
            "ROUND TRIP",
            "UNDER WAY",
            "WAITING",
            "AT WORK",
            "SAMPLED",
        ]);
        for spent in &self.steps {
            let mut row = vec![spent.command.clone(), written(spent.round_trip_ms)];
            let parts = [spent.under_way_ms, spent.waiting_ms, spent.at_work_ms];
            row.extend(parts.map(|ms| ms.map_or_else(|| "-".to_owned(), written)));
            row.push(units::count(spent.sampled as u64));
            table.add_row(row);
        }
        format!("{}\n\n", lines(&table))
    }

    fn books(&self) -> String {
        let (Some(booked), Some(imbalances)) = (&self.booked, &self.imbalances) else {
            return format!("{} the books could not be read", paint(Tone::Bad, "✗"));
        };
        let money = |amounts: &BTreeMap<String, i64>| {
            let amounts: Vec<_> = amounts
                .iter()
                .map(|(currency, minor_units)| units::amount(*minor_units, currency))
                .collect();
            if amounts.is_empty() { "nothing".to_owned() } else { amounts.join(", ") }
        };
        let facts = format!(
            "with the warm-up, {} confirmed and {} captured; {} pieces confirmed and {} committed; \
             {} orders cancelled",
            money(&booked.confirmed_minor_units),
            money(&booked.captured_minor_units),
            units::count(booked.pieces_confirmed),
            units::count(booked.pieces_committed),
            units::count(booked.orders_cancelled),
        );
        if imbalances.is_empty() {
            format!("{} the books balance: {facts}", paint(Tone::Good, "✓"))
        } else {
            format!("{} the books do not balance: {facts}", paint(Tone::Bad, "✗"))
        }
    }
}

impl Latency {
    /// Of a histogram in microseconds; nothing of an empty one.
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1_000.0,
        })
    }
}

fn spent(journeys: &[Journey]) -> Vec<Spent> {
    let mut by_command: BTreeMap<(bool, &str), Vec<&Journey>> = BTreeMap::new();
    for journey in journeys {
        let is_undo = journey.direction == Direction::Compensate;
        by_command.entry((is_undo, &journey.step)).or_default().push(journey);
    }
    let spent = |((is_undo, step), journeys): ((bool, &str), Vec<&Journey>)| {
        let median = |part: &dyn Fn(&Journey) -> Option<Duration>| {
            let mut parts: Vec<_> = journeys.iter().filter_map(|journey| part(journey)).collect();
            parts.sort_unstable();
            parts.get(parts.len() / 2).copied().map(ms)
        };
        Some(Spent {
            command: if is_undo { format!("undo of {step}") } else { step.to_owned() },
            sampled: journeys.len(),
            round_trip_ms: median(&|journey| Some(journey.round_trip))?,
            under_way_ms: median(&Journey::under_way),
            waiting_ms: median(&|journey| Some(journey.at_participant?.waited)),
            at_work_ms: median(&|journey| Some(journey.at_participant?.worked)),
        })
    };
    by_command.into_iter().filter_map(spent).collect()
}

fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1_000.0)
}

/// To three digits after the point: more is chance.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

fn written(ms: f64) -> String {
    units::brief(Duration::from_secs_f64((ms / 1_000.0).max(0.0)))
}

#[cfg(test)]
mod tests;
