//! What a participant decides about a command.

use prost::{Message, Name};

/// About a command that may be refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<R> {
    Done(R),
    /// A business rule says no: nothing changed, and the saga is told why.
    Refused(String),
    /// The answer follows later, from another transaction.
    Deferred,
}

/// About a command that must not be refused: one that is retriable, or undoes another.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled<R> {
    Done(R),
    /// The answer follows later, from another transaction.
    Deferred,
}

/// A decision as it is stored and sent: encoded, and without the type of its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Succeeded {
        /// Full message name.
        name: String,
        payload: Vec<u8>,
    },
    Refused(String),
    Deferred,
}

impl Answer {
    pub fn succeeded<R: Message + Name>(reply: &R) -> Self {
        Answer::Succeeded { name: R::full_name(), payload: reply.encode_to_vec() }
    }
}

impl<R: Message + Name> From<Decision<R>> for Answer {
    fn from(decision: Decision<R>) -> Self {
        match decision {
            Decision::Done(reply) => Answer::succeeded(&reply),
            Decision::Refused(reason) => Answer::Refused(reason),
            Decision::Deferred => Answer::Deferred,
        }
    }
}

impl<R: Message + Name> From<Settled<R>> for Answer {
    fn from(settled: Settled<R>) -> Self {
        match settled {
            Settled::Done(reply) => Answer::succeeded(&reply),
            Settled::Deferred => Answer::Deferred,
        }
    }
}
