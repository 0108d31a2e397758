//! Tells what happened to a saga: one sentence, its steps, its timeline.

mod journey;
mod timeline;

use proto::saga::{GetSagaResponse, JournalEntry, Saga, SagaStatus, Step, StepStatus};

use crate::{
    advice::here,
    output::{Tone, lines, paint, table},
    units,
};
#[cfg(test)]
pub(crate) use journey::AtParticipant;
pub(crate) use journey::{Journey, journeys};
pub(crate) use timeline::{Moment, timeline};

/// The whole page of one saga: where it stands, why, its steps, its timeline.
pub(crate) fn page(story: &GetSagaResponse, now: &prost_types::Timestamp) -> String {
    let saga = story.saga.clone().unwrap_or_default();
    let (tone, status) = status(saga.status());
    let mut text = format!(
        "{} {}  {}\n{}\n  saga    {}\n  order   {}\n  began   {} UTC, version {}\n\n{}\n\n{}",
        paint(Tone::Strong, &saga.definition),
        saga.key,
        paint(tone, status),
        sentence(story, now),
        saga.saga_id,
        saga.key,
        units::date(saga.started_at.as_ref()),
        saga.version,
        steps(story),
        paint(Tone::Dim, "TIME (UTC)      OFFSET"),
    );
    for moment in timeline(story) {
        text.push('\n');
        text.push_str(&moment.with_clock());
    }
    text
}

/// Where a saga stands, in one word with its colour.
pub(crate) fn status(status: SagaStatus) -> (Tone, &'static str) {
    match status {
        SagaStatus::Unspecified => (Tone::Plain, "unknown"),
        SagaStatus::Running => (Tone::Plain, "running"),
        SagaStatus::Compensating => (Tone::Back, "compensating"),
        SagaStatus::Paused => (Tone::Back, "paused"),
        SagaStatus::Stuck => (Tone::Bad, "stuck"),
        SagaStatus::Completed => (Tone::Good, "completed"),
        SagaStatus::Compensated => (Tone::Back, "compensated"),
        SagaStatus::Resolved => (Tone::Dim, "resolved"),
    }
}

pub(crate) fn has_ended(saga: &Saga) -> bool {
    match saga.status() {
        SagaStatus::Completed | SagaStatus::Compensated | SagaStatus::Resolved => true,
        SagaStatus::Unspecified
        | SagaStatus::Running
        | SagaStatus::Compensating
        | SagaStatus::Paused
        | SagaStatus::Stuck => false,
    }
}

/// Where the saga stands and why, in one sentence or two.
pub(crate) fn sentence(story: &GetSagaResponse, now: &prost_types::Timestamp) -> String {
    let Some(saga) = &story.saga else { return "There is nothing to tell.".to_owned() };
    let took = units::between(saga.started_at.as_ref(), saga.ended_at.as_ref())
        .map(|took| format!(" in {}", units::brief(took)))
        .unwrap_or_default();
    match saga.status() {
        SagaStatus::Completed => {
            let skipped = skipped(story, StepStatus::Succeeded);
            format!("Completed{took}: every step was done{skipped}.")
        }
        SagaStatus::Compensated => {
            let undone = undone(&story.steps);
            let skipped = skipped(story, StepStatus::Compensated);
            format!("Compensated{took}: {}; {undone}{skipped}.", cause(saga))
        }
        SagaStatus::Compensating => {
            format!("Going back: {}; {}.", cause(saga), waiting(saga, now))
        }
        SagaStatus::Running => format!("Under way: {}.", waiting(saga, now)),
        SagaStatus::Paused => {
            let resume = here(&format!("resume {} --reason …", saga.saga_id));
            format!("Paused: nothing more is sent until {resume}.")
        }
        SagaStatus::Stuck => {
            let Saga { stuck_step, stuck_reason, saga_id, .. } = saga;
            let verb = |verb: &str| here(&format!("{verb} {saga_id} --reason …"));
            let first = if saga.paused {
                format!("It is paused, too: first {}, then", verb("resume"))
            } else {
                "When that is mended:".to_owned()
            };
            let retry = verb("retry");
            format!("Stuck, a person must look: {stuck_step}: {stuck_reason}. {first} {retry}.")
        }
        SagaStatus::Resolved => {
            let said = story.journal.iter().rev().find(|entry| entry.verb == "resolve");
            said.map_or_else(
                || format!("Settled outside{took}."),
                |entry| format!("Settled outside{took} by {}: {}.", entry.by, entry.reason),
            )
        }
        SagaStatus::Unspecified => "In a state that this command does not know.".to_owned(),
    }
}

/// Of the steps that stand so: `, but capture-payment only by the word of ann: paid in cash`
fn skipped(story: &GetSagaResponse, status: StepStatus) -> String {
    let steps = story.steps.iter().filter(|step| step.status() == status);
    let skips: Vec<_> = steps
        .filter_map(|step| skip_of(step, &story.journal))
        .map(|JournalEntry { step, by, reason, .. }| {
            format!("{step} only by the word of {by}: {reason}")
        })
        .collect();
    if skips.is_empty() { String::new() } else { format!(", but {}", skips.join("; ")) }
}

/// The word that a step rests on; none when its participant has answered since.
fn skip_of<'a>(step: &Step, journal: &'a [JournalEntry]) -> Option<&'a JournalEntry> {
    let last = journal.iter().rev().find(|entry| entry.step == step.name);
    last.filter(|entry| entry.verb == SKIP)
}

const SKIP: &str = "skip";

/// Why it went back: the coordinator's own words, which name the step.
fn cause(saga: &Saga) -> String {
    match (saga.cause.as_str(), saga.cause_step.as_str()) {
        ("", "") => "the reason is not known".to_owned(),
        ("", step) => format!("{step} was not done"),
        (cause, _) => cause.to_owned(),
    }
}

fn undone(steps: &[Step]) -> String {
    let is_undone = |step: &&Step| step.status() == StepStatus::Compensated;
    let names = |is_start: bool| -> Vec<&str> {
        let wanted = steps.iter().filter(is_undone).filter(|step| (step.kind == START) == is_start);
        wanted.map(|step| step.name.as_str()).collect()
    };
    let (later, start) = (names(false), names(true));
    match (later.is_empty(), start.is_empty()) {
        (true, true) => "nothing had been done, so nothing was undone".to_owned(),
        (true, false) => format!("nothing else had been done, so only {} was undone", and(&start)),
        (false, _) => {
            let all: Vec<_> = later.into_iter().chain(start).collect();
            let were = if all.len() == 1 { "was" } else { "were" };
            format!("{} {were} undone", and(&all))
        }
    }
}

const START: &str = "start";

fn waiting(saga: &Saga, now: &prost_types::Timestamp) -> String {
    let names: Vec<_> = saga.waits_for.iter().map(String::as_str).collect();
    let since = units::between(saga.moved_at.as_ref(), Some(now))
        .map(|since| format!(", for {}", units::brief(since)))
        .unwrap_or_default();
    if names.is_empty() {
        "about to move".to_owned()
    } else {
        format!("waits for {}{since}", and(&names))
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn and(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn steps(story: &GetSagaResponse) -> String {
    let mut table = table(&["STEP", "KIND", "STATUS", "ASKED", "REASON"]);
    for step in &story.steps {
        let asked = match times_asked(&step.name, &story.journal) {
            0 => "-".to_owned(),
            times => format!("{times}×"),
        };
        let is_skipped = skip_of(step, &story.journal).is_some();
        let (symbol, status) = if is_skipped && step.status() == StepStatus::Succeeded {
            ('☞', "taken as done")
        } else if is_skipped && step.status() == StepStatus::Compensated {
            ('☞', "taken as undone")
        } else {
            step_status(step.status())
        };
        table.add_row([
            &step.name,
            &step.kind,
            &format!("{symbol} {status}"),
            &asked,
            &step.reason,
        ]);
    }
    lines(&table)
}

fn times_asked(step: &str, journal: &[JournalEntry]) -> usize {
    let prefix = format!("invoke {step} #");
    journal.iter().flat_map(|entry| &entry.sent).filter(|sent| sent.starts_with(&prefix)).count()
}

fn step_status(status: StepStatus) -> (char, &'static str) {
    match status {
        StepStatus::Unspecified => ('?', "unknown to this command"),
        StepStatus::Waiting => ('·', "never asked"),
        StepStatus::Asked => ('→', "asked"),
        StepStatus::Succeeded => ('✓', "done"),
        StepStatus::Refused => ('✗', "refused"),
        StepStatus::Unknown => ('?', "not answered in time"),
        StepStatus::Compensating => ('←', "being undone"),
        StepStatus::Compensated => ('↩', "undone"),
        StepStatus::Stuck => ('!', "stuck"),
    }
}

#[cfg(test)]
mod tests;
