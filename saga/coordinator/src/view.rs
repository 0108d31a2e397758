//! Sagas as they are shown: from what is stored to `saga.v1`.

use bootstrap::timestamp;
use proto::saga as pb;
use saga_core::{Definition, Direction, Instance, Progress, Saga};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{journal, movements::Moved};

pub(crate) fn status(label: &str) -> pb::SagaStatus {
    match label {
        "running" => pb::SagaStatus::Running,
        "compensating" => pb::SagaStatus::Compensating,
        "paused" => pb::SagaStatus::Paused,
        "stuck" => pb::SagaStatus::Stuck,
        "completed" => pb::SagaStatus::Completed,
        "compensated" => pb::SagaStatus::Compensated,
        "resolved" => pb::SagaStatus::Resolved,
        _ => pb::SagaStatus::Unspecified,
    }
}

/// As it is stored in the column `status`.
pub(crate) fn label(status: pb::SagaStatus) -> Option<&'static str> {
    match status {
        pb::SagaStatus::Unspecified => None,
        pb::SagaStatus::Running => Some("running"),
        pb::SagaStatus::Compensating => Some("compensating"),
        pb::SagaStatus::Paused => Some("paused"),
        pb::SagaStatus::Stuck => Some("stuck"),
        pb::SagaStatus::Completed => Some("completed"),
        pb::SagaStatus::Compensated => Some("compensated"),
        pb::SagaStatus::Resolved => Some("resolved"),
    }
}

/// Of a saga that moved just now.
pub(crate) fn moved(moved: &Moved) -> pb::Saga {
    let ended = moved.instance.has_ended().then_some(moved.moved_at);
    saga(
        &Times { started_at: moved.started_at, moved_at: moved.moved_at, ended_at: ended },
        moved.id,
        &moved.key,
        &moved.instance,
    )
}

/// When a saga began, moved last, and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) started_at: OffsetDateTime,
    pub(crate) moved_at: OffsetDateTime,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

pub(crate) fn saga(times: &Times, id: Uuid, key: &str, instance: &Instance) -> pb::Saga {
    let (cause_step, cause) = cause(instance);
    let (stuck_step, stuck_reason) = instance.stuck().unwrap_or_default();
    pb::Saga {
        saga_id: id.to_string(),
        definition: instance.version.saga.clone(),
        version: instance.version.hash.clone(),
        key: key.to_owned(),
        status: status(instance.label()).into(),
        revision: instance.revision,
        waits_for: instance.outstanding().map(|attempt| attempt.step).collect(),
        cause_step,
        cause,
        stuck_step: stuck_step.to_owned(),
        stuck_reason: stuck_reason.to_owned(),
        started_at: Some(timestamp(times.started_at)),
        moved_at: Some(timestamp(times.moved_at)),
        ended_at: times.ended_at.map(timestamp),
        paused: instance.paused,
    }
}

fn cause(instance: &Instance) -> (String, String) {
    let Some(cause) = instance.cause() else { return (String::new(), String::new()) };
    (cause.step().unwrap_or_default().to_owned(), cause.to_string())
}

/// Every step of the definition, and how it stands.
pub(crate) fn steps(definition: &Definition, instance: &Instance) -> Vec<pb::Step> {
    definition
        .steps
        .iter()
        .map(|step| {
            let progress = instance.progress(&step.name);
            let (status, attempt, reason) =
                progress.map_or((pb::StepStatus::Waiting, 0, ""), standing);
            let name = |call: Option<&saga_core::Call>| {
                call.map(|call| call.command.clone()).unwrap_or_default()
            };
            pb::Step {
                name: step.name.clone(),
                kind: step.kind.name().to_owned(),
                stage: u32::try_from(step.stage).unwrap_or(u32::MAX),
                status: status.into(),
                attempt,
                reason: reason.to_owned(),
                command: name(step.kind.command()),
                undo: name(step.kind.undo()),
            }
        })
        .collect()
}

fn standing(progress: &Progress) -> (pb::StepStatus, u32, &str) {
    match progress {
        Progress::Asked { direction: Direction::Invoke, attempt, refusal } => {
            (pb::StepStatus::Asked, *attempt, refusal.as_deref().unwrap_or_default())
        }
        Progress::Asked { direction: Direction::Compensate, attempt, refusal } => {
            (pb::StepStatus::Compensating, *attempt, refusal.as_deref().unwrap_or_default())
        }
        Progress::Stuck { attempt, reason, .. } => (pb::StepStatus::Stuck, *attempt, reason),
        Progress::Succeeded => (pb::StepStatus::Succeeded, 0, ""),
        Progress::Refused(reason) => (pb::StepStatus::Refused, 0, reason),
        Progress::Unknown => (pb::StepStatus::Unknown, 0, ""),
        Progress::Compensated => (pb::StepStatus::Compensated, 0, ""),
    }
}

pub(crate) fn entry(stored: journal::Stored) -> pb::JournalEntry {
    let direction = match stored.direction.as_deref() {
        Some("invoke") => pb::Direction::Invoke,
        Some("compensate") => pb::Direction::Compensate,
        _ => pb::Direction::Unspecified,
    };
    let stopwatch: Option<messaging::Stopwatch> =
        stored.stopwatch.as_deref().and_then(|text| text.parse().ok());
    pb::JournalEntry {
        revision: stored.revision.unsigned_abs(),
        happened_at: Some(timestamp(stored.happened_at)),
        happened: stored.happened,
        step: stored.step.unwrap_or_default(),
        direction: direction.into(),
        attempt: stored.attempt.unwrap_or_default().unsigned_abs(),
        outcome: stored.outcome.unwrap_or_default(),
        reason: stored.reason.unwrap_or_default(),
        verb: stored.verb.unwrap_or_default(),
        by: stored.actor.unwrap_or_default(),
        sent: stored.sent.split(',').filter(|sent| !sent.is_empty()).map(str::to_owned).collect(),
        stopwatch: stopwatch.map(|stopwatch| pb::Stopwatch {
            received_at: Some(timestamp(stopwatch.received_at)),
            started_at: Some(timestamp(stopwatch.started_at)),
            finished_at: Some(timestamp(stopwatch.finished_at)),
        }),
        payload: stored.payload.unwrap_or_default(),
    }
}

pub(crate) fn definition(saga: &Saga, current: bool) -> pb::DefinitionSummary {
    let definition = saga.definition();
    pb::DefinitionSummary {
        name: definition.name.clone(),
        version: saga.version().hash.clone(),
        current,
        started_by: definition.started_by.clone(),
        mermaid: definition.to_mermaid(),
        definition_json: serde_json::to_string(definition).unwrap_or_default(),
    }
}
