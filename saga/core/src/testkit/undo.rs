//! What an undo may be made of.

use crate::{Attempt, Cause, Direction, Instance, Saga, Status};

/// An undo stays what it was when its step was asked, whatever replies have come since: it is sent
/// also when they did not come. From the pivot on nothing is undone.
pub(crate) fn relies_on_no_reply(
    saga: &Saga,
    before: &Instance,
    now: &Instance,
) -> Result<(), String> {
    if saga.is_decided(now) || now.data == before.data {
        return Ok(());
    }
    for step in saga.definition().steps.iter().filter(|step| before.progress(&step.name).is_some())
    {
        let Some(undo) = step.kind.undo() else { continue };
        if payload(saga, before, &step.name) != payload(saga, now, &step.name) {
            return Err(format!(
                "the undo of {}, {}, changes with a reply, and must do without: it is sent also \
                 when no reply came; give the undo an id that is known before: the saga's key, or \
                 one that the event brings",
                step.name, undo.command
            ));
        }
    }
    Ok(())
}

/// As if the saga went back now. The undo of the first step learns why: here always the same.
fn payload(saga: &Saga, at: &Instance, step: &str) -> Option<Vec<u8>> {
    let back = Instance { status: Status::Compensating(Cause::Undecided), ..at.clone() };
    let attempt = Attempt { step: step.to_owned(), direction: Direction::Compensate, number: 1 };
    saga.command(&back, &attempt).ok().map(|undo| undo.payload)
}
