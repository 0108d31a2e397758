//! Effects once, over a broker that delivers at least once.
//!
//! The way of one message: a [`Tx`] writes it to the outbox beside the change it tells of
//! ([`outbox`]); after the commit the [`relay`] publishes it; a [`consumer`] takes it with whatever
//! else has arrived, in one transaction; the [`barrier`] of a [`participant`] sees to it that it has
//! its effect once; the answer goes the same way back. What cannot be handled goes to the
//! [`dead_letter`]s. Who writes without having been asked by a message uses a [`writer`]; what it
//! announced so that others decide is announced again until they have (`announcing`).
//!
//! Only this crate knows Kafka.

pub mod message;
pub mod outbox;
pub mod relay;
pub mod consumer;
pub mod barrier;
pub mod participant;
pub mod subscriber;
pub mod writer;
mod announcing;
pub mod dead_letter;
pub mod housekeeping;
pub mod topics;
mod contact;
mod inbox;
mod lane;
mod hold;
mod rotation;
mod start;
mod trouble;
mod error;

pub use crate::{
    consumer::{Handler, Record},
    error::{Error, Verdict, chain, panic_text},
    message::{Envelope, Message, SagaContext, Stopwatch, Trace},
    outbox::Tx,
    participant::{Participant, answer},
    start::{Kafka, Messaging, Options},
    subscriber::Subscriber,
    writer::{Writer, Writes},
};
