//! What messages promise, as traits: a saga that relies on a promise nobody made does not compile.
//!
//! The promises are written in the `.proto` files, as options of an rpc or a message, and the
//! implementations are generated from there (see `saga-build`).

mod decision;

use prost::{DecodeError, Message, Name};

pub use crate::decision::{Answer, Decision, Settled};

/// A request to one participant, and what it answers when it did it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    note = "a command is the argument of an rpc in a `service …Commands`"
)]
pub trait Command: Message + Name + Default + 'static {
    /// Where its participant listens.
    const TOPIC: &'static str;
    type Reply: Message + Name + Default + 'static;
}

/// A command its participant can take back. `Undo` must succeed after the command, before it,
/// instead of it, and twice.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be undone, so it cannot be a compensatable step",
    note = "say `option (saga.v1.undone_by)` at its rpc, or use it as the pivot"
)]
pub trait Undoable: Command {
    type Undo: Retriable;
}

/// A command that succeeds if it is asked often enough.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may be refused, so nothing may depend on its success",
    note = "say `option (saga.v1.retriable)` at its rpc, or use it before the pivot"
)]
pub trait Retriable: Command {}

/// A fact that a service publishes about itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "say `option (saga.v1.published_on)` in the message"
)]
pub trait Event: Message + Name + Default + 'static {
    /// Where it is published.
    const TOPIC: &'static str;
}

/// All commands of one participant: an enum with a variant for each.
pub trait CommandSet: Sized + Send + 'static {
    /// Where the participant listens.
    const TOPIC: &'static str;

    /// Reads the command called `name`, a full message name.
    fn decode(name: &str, payload: &[u8]) -> Result<Self, Undecodable>;

    /// Full name of the command.
    fn name(&self) -> &'static str;

    /// Whether another command of the set is taken back by this one.
    fn is_undo(&self) -> bool;

    /// That it is done, with nothing to say about it.
    fn done(&self) -> Answer;
}

/// Bytes that are not the message they are said to be.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    #[error("{name:?} is not a message known here")]
    Unknown { name: String },
    #[error("the bytes are not a {name}: {source}")]
    Malformed { name: &'static str, source: DecodeError },
}
