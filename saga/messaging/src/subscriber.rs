//! Who hears events: each of them once, by the id of its message.

use std::{collections::HashSet, future::Future, time::Duration};

use saga_contract::Undecodable;
use uuid::Uuid;

use crate::{Error, Handler, Record, Tx, dead_letter, inbox};

/// A service that hears what others tell all.
pub trait Subscriber: Send + 'static {
    /// What it can hear: one message type, or an enum of several.
    type Event;
    const TOPICS: &'static [&'static str];

    /// Reads the event called `name`, a full message name; nothing when it is of no interest.
    fn decode(name: &str, payload: &[u8]) -> Result<Option<Self::Event>, Undecodable>;

    /// Takes note of new events, in order, within the transaction.
    fn hear(
        &mut self,
        tx: &mut Tx<'_>,
        events: Vec<Self::Event>,
    ) -> impl Future<Output = Result<(), Error>>;
}

/// A subscriber behind its inbox.
pub(crate) struct Events<S> {
    subscriber: S,
    /// By which the inbox knows it.
    consumer: String,
    horizon: Duration,
}

impl<S: Subscriber> Events<S> {
    pub(crate) fn new(subscriber: S, consumer: String, horizon: Duration) -> Self {
        Events { subscriber, consumer, horizon }
    }

    fn read(&self, record: &Record) -> Result<Option<(Uuid, S::Event)>, String> {
        let envelope = record.envelope.as_ref().map_err(ToString::to_string)?;
        let event =
            S::decode(&envelope.kind, &record.payload).map_err(|error| error.to_string())?;
        let Some(event) = event else { return Ok(None) };
        inbox::within_horizon(envelope.id, self.horizon)?;
        Ok(Some((envelope.id, event)))
    }
}

impl<S: Subscriber> Handler for Events<S> {
    async fn handle(&mut self, tx: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        let mut events = Vec::with_capacity(batch.len());
        for record in batch {
            match self.read(record) {
                Ok(event) => events.extend(event),
                Err(reason) => dead_letter::set_aside(tx, record, &reason)?,
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = events.iter().map(|(id, _)| *id).collect();
        let new = inbox::note_events(tx, &self.consumer, &ids).await?;
        // One that is twice in the batch is heard the first time.
        let mut new: HashSet<Uuid> = new.into_iter().collect();
        let events = events.into_iter().filter(|(id, _)| new.remove(id)).map(|(_, event)| event);
        self.subscriber.hear(tx, events.collect()).await
    }

    async fn set_aside(&mut self, _: &mut Tx<'_>, _: &Record, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
