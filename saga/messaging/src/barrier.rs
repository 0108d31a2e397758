//! What a participant remembers about a step, and what follows for a command that arrives: run it,
//! answer as before, or refuse. Pure.
//!
//! The identity of a command is (saga, step, direction); attempts are askings of the same. A
//! success is given once and repeated for ever. A refusal holds for its attempt and earlier ones; a
//! later attempt is judged anew. An undo that comes first leaves its mark, and the command it would
//! undo is refused when it comes at last.

use saga_contract::Answer;

/// How a step stands with this participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub stands: Stands,
    /// The latest attempt that was answered, or is to be.
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// The answer follows.
    Deferred,
    /// With the reply's name and bytes.
    Succeeded(String, Vec<u8>),
    Refused(String),
    /// It is being undone; the answer follows.
    UndoDeferred,
    /// It cannot be undone now: a later attempt is judged anew.
    UndoRefused(String),
    /// Undone, or never to be done. With the reply's name and bytes.
    Undone(String, Vec<u8>),
}

/// What arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Invoke,
    /// Takes back what was invoked under the same step.
    Undo,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Let the participant decide.
    Run,
    /// There is nothing to undo, and never will be: answer that it is done.
    NothingToUndo,
    /// Answer this, without any effect.
    Answer(Answer),
    /// The answer is still to come, and will be for this attempt.
    Wait,
}

/// Why a command is refused whose undo came first.
pub const UNDONE_BEFORE: &str = "undone before it was done";

/// What follows when attempt number `attempt` of a command arrives.
pub fn admit(held: Option<&Held>, call: Call, attempt: u32) -> Admission {
    let Some(held) = held else {
        return match call {
            Call::Invoke => Admission::Run,
            Call::Undo => Admission::NothingToUndo,
        };
    };
    match (&held.stands, call) {
        (Stands::Succeeded(name, payload), Call::Invoke)
        | (Stands::Undone(name, payload), Call::Undo) => {
            let (name, payload) = (name.clone(), payload.clone());
            Admission::Answer(Answer::Succeeded { name, payload })
        }
        (Stands::Refused(reason), Call::Invoke) | (Stands::UndoRefused(reason), Call::Undo)
            if attempt <= held.attempt =>
        {
            Admission::Answer(Answer::Refused(reason.clone()))
        }
        (Stands::Refused(_), Call::Invoke) | (Stands::UndoRefused(_), Call::Undo) => Admission::Run,
        (Stands::Undone(..) | Stands::UndoDeferred | Stands::UndoRefused(_), Call::Invoke) => {
            Admission::Answer(Answer::Refused(UNDONE_BEFORE.to_owned()))
        }
        (Stands::Deferred, Call::Invoke) | (Stands::UndoDeferred, Call::Undo) => Admission::Wait,
        // What is deferred may have been done: it is undone like what was done.
        (Stands::Succeeded(..) | Stands::Deferred, Call::Undo) => Admission::Run,
        (Stands::Refused(_), Call::Undo) => Admission::NothingToUndo,
    }
}

/// How the step stands after this answer.
pub fn after(call: Call, attempt: u32, answer: &Answer) -> Held {
    let stands = match (call, answer) {
        (Call::Invoke, Answer::Succeeded { name, payload }) => {
            Stands::Succeeded(name.clone(), payload.clone())
        }
        (Call::Undo, Answer::Succeeded { name, payload }) => {
            Stands::Undone(name.clone(), payload.clone())
        }
        (Call::Invoke, Answer::Deferred) => Stands::Deferred,
        (Call::Undo, Answer::Deferred) => Stands::UndoDeferred,
        (Call::Invoke, Answer::Refused(reason)) => Stands::Refused(reason.clone()),
        (Call::Undo, Answer::Refused(reason)) => Stands::UndoRefused(reason.clone()),
    };
    Held { stands, attempt }
}

#[cfg(test)]
mod tests;
