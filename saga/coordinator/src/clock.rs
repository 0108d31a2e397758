//! What is due when, for one saga: its deadlines, and asking again when nobody answers. Pure; times
//! are the database's.

use std::time::Duration;

use saga_core::{Attempt, Deadline, Instance, Timer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// How often, at most, outstanding commands are sent again.
const RESEND_PAUSE_MAX: Duration = Duration::from_secs(60);
/// An open saga is looked at this often even when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// Stored beside the instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clock {
    alarms: Vec<Alarm>,
    /// When to send the outstanding commands again. Absent when there are none.
    #[serde(with = "time::serde::timestamp::milliseconds::option")]
    resend_at: Option<OffsetDateTime>,
    resend_count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Alarm {
    deadline: Deadline,
    #[serde(with = "time::serde::timestamp::milliseconds")]
    due_at: OffsetDateTime,
}

impl Clock {
    /// Sets the timers of a transition and forgets those that are settled by it. `spread` is
    /// between 0 and 1 and moves each timer by up to ten per cent, so that what failed together
    /// does not come back together.
    pub(crate) fn moved(
        &mut self,
        instance: &Instance,
        timers: Vec<Timer>,
        now: OffsetDateTime,
        resend_after: Duration,
        spread: f64,
    ) {
        for Timer { deadline, due_in } in timers {
            self.forget(&deadline);
            let due_at = now + due_in.mul_f64(0.9 + 0.2 * spread);
            // As it is stored, so that a command that is sent again has the same deadline.
            let due_at = due_at.truncate_to_millisecond();
            self.alarms.push(Alarm { deadline, due_at });
        }
        let ended = instance.has_ended();
        self.alarms.retain(|alarm| match &alarm.deadline {
            Deadline::Saga => !ended,
            Deadline::Step(attempt) => {
                !ended && instance.outstanding().any(|outstanding| outstanding == *attempt)
            }
        });
        self.resend_count = 0;
        self.resend_at = instance.unanswered().next().map(|_| now + resend_after);
    }

    /// A new timer for a step replaces the one it had.
    fn forget(&mut self, deadline: &Deadline) {
        self.alarms.retain(|alarm| match (&alarm.deadline, deadline) {
            (Deadline::Saga, Deadline::Saga) => false,
            (Deadline::Step(one), Deadline::Step(other)) => one.step != other.step,
            (Deadline::Saga, Deadline::Step(_)) | (Deadline::Step(_), Deadline::Saga) => true,
        });
    }

    /// Takes the deadlines that have passed, in the order in which they did.
    pub(crate) fn take_due(&mut self, now: OffsetDateTime) -> Vec<Deadline> {
        let (mut due, later): (Vec<Alarm>, Vec<Alarm>) =
            self.alarms.drain(..).partition(|alarm| alarm.due_at <= now);
        self.alarms = later;
        due.sort_by_key(|alarm| alarm.due_at);
        due.into_iter().map(|alarm| alarm.deadline).collect()
    }

    /// Whether to send outstanding commands again; then the next time is later.
    pub(crate) fn take_resend(&mut self, now: OffsetDateTime, resend_after: Duration) -> bool {
        if self.resend_at.is_none_or(|at| at > now) {
            return false;
        }
        self.resend_count = self.resend_count.saturating_add(1);
        let pause = resend_after.saturating_mul(2_u32.saturating_pow(self.resend_count));
        self.resend_at = Some(now + pause.min(RESEND_PAUSE_MAX.max(resend_after)));
        true
    }

    /// When waiting for this attempt ends.
    pub(crate) fn deadline(&self, attempt: &Attempt) -> Option<OffsetDateTime> {
        let alarm = self.alarms.iter().find(|alarm| match &alarm.deadline {
            Deadline::Saga => false,
            Deadline::Step(outstanding) => outstanding == attempt,
        });
        alarm.map(|alarm| alarm.due_at)
    }

    /// When there is something to do next.
    pub(crate) fn wake_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        let alarms = self.alarms.iter().map(|alarm| alarm.due_at);
        alarms.chain(self.resend_at).min().unwrap_or(now + IDLE)
    }
}

#[cfg(test)]
mod tests;
