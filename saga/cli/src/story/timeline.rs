//! The journal as lines for people.

use std::time::Duration;

use proto::saga::{Direction, GetSagaResponse, JournalEntry};

use super::{
    and,
    journey::{Journey, journeys},
};
use crate::{
    output::{Tone, paint},
    units,
};

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) revision: u64,
    clock: String,
    offset: Option<Duration>,
    symbol: char,
    tone: Tone,
    text: String,
    /// Where the time since the command went, and what was sent next.
    details: Vec<String>,
}

impl Moment {
    /// With the clock time and the offset from the saga's beginning.
    pub(crate) fn with_clock(&self) -> String {
        self.line(&format!("{}  {}", self.clock, self.written_offset()))
    }

    /// With the offset only, for following a saga as it goes.
    pub(crate) fn with_offset(&self) -> String {
        self.line(&self.written_offset())
    }

    fn line(&self, when: &str) -> String {
        let symbol = paint(self.tone, &self.symbol.to_string());
        let details = match self.details.as_slice() {
            [] => String::new(),
            details => format!("  {}", paint(Tone::Dim, &format!("({})", details.join("; ")))),
        };
        format!("{}  {symbol} {}{details}", paint(Tone::Dim, when), paint(self.tone, &self.text))
    }

    fn written_offset(&self) -> String {
        let offset = self.offset.map(|offset| format!("+{:.1} ms", offset.as_secs_f64() * 1_000.0));
        format!("{:>11}", offset.unwrap_or_default())
    }
}

/// The journal, line by line.
pub(crate) fn timeline(story: &GetSagaResponse) -> Vec<Moment> {
    let began = story.saga.as_ref().and_then(|saga| saga.started_at.as_ref());
    let journeys = journeys(story);
    let moment = |entry: &JournalEntry| {
        let (symbol, tone, text) = what(entry);
        let journey = journeys.iter().find(|journey| journey.revision == entry.revision);
        Moment {
            revision: entry.revision,
            clock: units::clock(entry.happened_at.as_ref()),
            offset: units::between(began, entry.happened_at.as_ref()),
            symbol,
            tone,
            text,
            details: journey.map(spent).into_iter().chain(sent(&entry.sent)).collect(),
        }
    };
    story.journal.iter().map(moment).collect()
}

fn what(entry: &JournalEntry) -> (char, Tone, String) {
    let step = &entry.step;
    let is_undo = entry.direction() == Direction::Compensate;
    match (entry.happened.as_str(), entry.outcome.as_str()) {
        ("started", _) => ('●', Tone::Strong, "began".to_owned()),
        ("answered", "refused") => ('✗', Tone::Bad, format!("{step} refused: {}", entry.reason)),
        ("answered", _) if is_undo => ('↩', Tone::Back, format!("{step} undone")),
        ("answered", _) => ('✓', Tone::Good, format!("{step} done")),
        ("timed-out", _) if step.is_empty() => ('✗', Tone::Bad, "not decided in time".to_owned()),
        ("timed-out", _) => ('✗', Tone::Bad, format!("{step} not answered in time")),
        ("parked", _) if step.is_empty() => ('!', Tone::Bad, format!("stuck: {}", entry.reason)),
        ("parked", _) => ('!', Tone::Bad, format!("stuck {step}: {}", entry.reason)),
        ("intervened", _) => {
            let step = if step.is_empty() { String::new() } else { format!(" {step}") };
            let text = format!("{}{step} by {}: {}", entry.verb, entry.by, entry.reason);
            ('☞', Tone::Strong, text)
        }
        (happened, _) => ('·', Tone::Plain, format!("{happened} {step}")),
    }
}

fn spent(journey: &Journey) -> String {
    let round_trip = units::brief(journey.round_trip);
    match (journey.at_participant, journey.under_way()) {
        (Some(at), Some(under_way)) => format!(
            "{round_trip}: {} under way, {} waiting, {} at work",
            units::brief(under_way),
            units::brief(at.waited),
            units::brief(at.worked)
        ),
        _ => round_trip,
    }
}

/// `asks reserve-stock and authorize-payment`, `undoes reserve-stock`.
fn sent(attempts: &[String]) -> Vec<String> {
    let named = |prefix: &str| -> Vec<String> {
        let names = attempts.iter().filter_map(|attempt| attempt.strip_prefix(prefix));
        names.map(|name| name.trim_end_matches(" #1").to_owned()).collect()
    };
    let phrase = |verb: &str, names: Vec<String>| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("{verb} {}", and(&names)))
    };
    [phrase("asks", named("invoke ")), phrase("undoes", named("compensate "))]
        .into_iter()
        .flatten()
        .collect()
}
