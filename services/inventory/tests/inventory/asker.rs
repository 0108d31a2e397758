//! Stands in for the coordinator: asks a participant over Kafka and hears what is said.

use std::time::Duration;

use messaging::{
    Error, Handler, Message, Messaging, Record, SagaContext, Tx, Writer, Writes,
    message::{Direction, Outcome, REPLIES},
};
use saga_contract::Command;
use sqlx::PgPool;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct Asker {
    sender: Writes<Sender>,
    heard: mpsc::UnboundedReceiver<Heard>,
    kept: Vec<Heard>,
    _stop: DropGuard,
}

/// A record that was heard.
#[derive(Debug, Clone)]
pub struct Heard {
    pub kind: String,
    pub saga: Option<SagaContext>,
    pub outcome: Option<Outcome>,
    pub payload: Vec<u8>,
}

/// One step of one saga.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub order: Uuid,
    pub name: &'static str,
}

impl Asker {
    pub async fn start(common: &bootstrap::Common, topics: &[&str]) -> Self {
        let url = provision::cluster::shared().await.database("asker").await;
        let db = PgPool::connect(&url).await.unwrap();
        let stop = CancellationToken::new();
        let options = common.messaging("asker", &url, topics);
        let messaging = Messaging::start(options, db, stop.clone()).await.unwrap();
        let (sender, sending) = messaging.writer("send", Sender);
        let (ear, heard) = mpsc::unbounded_channel();
        let heard_topics = topics.iter().copied().filter(|topic| topic.contains(".events."));
        let heard_topics = heard_topics.chain([REPLIES]).map(str::to_owned).collect();
        tokio::spawn(async move { sending.await.unwrap() });
        tokio::spawn(async move {
            messaging.consumer("hear", heard_topics, Ear(ear)).await.unwrap();
        });
        Asker { sender, heard, kept: Vec::new(), _stop: stop.drop_guard() }
    }

    pub async fn invoke<C: Command>(&self, step: Step, attempt: u32, command: &C) {
        self.ask(step, Direction::Invoke, attempt, command).await;
    }

    pub async fn compensate<C: Command>(&self, step: Step, attempt: u32, command: &C) {
        self.ask(step, Direction::Compensate, attempt, command).await;
    }

    async fn ask<C: Command>(&self, step: Step, direction: Direction, attempt: u32, command: &C) {
        let saga = SagaContext {
            saga_id: step.order,
            definition: "place-order".to_owned(),
            step: step.name.to_owned(),
            direction,
            attempt,
            is_start: false,
        };
        let (key, topic) = (step.order.to_string(), C::TOPIC.to_owned());
        let payload = command.encode_to_vec();
        let message = Message::command("asker", &key, topic, C::full_name(), payload, saga);
        self.sender.write(message).await.unwrap();
    }

    /// What is answered to a step in this direction next.
    pub async fn answer(&mut self, step: Step, direction: Direction) -> Outcome {
        let is_answer = |heard: &Heard| {
            heard.saga.as_ref().is_some_and(|saga| {
                (saga.saga_id, saga.step.as_str(), saga.direction)
                    == (step.order, step.name, direction)
            })
        };
        self.next(is_answer).await.outcome.unwrap()
    }

    /// The next record that is wanted; others are kept for later.
    pub async fn next(&mut self, is_wanted: impl Fn(&Heard) -> bool) -> Heard {
        if let Some(position) = self.kept.iter().position(&is_wanted) {
            return self.kept.remove(position);
        }
        loop {
            let heard = timeout(PATIENCE, self.heard.recv()).await;
            let heard = heard.unwrap_or_else(|_| panic!("heard only {:?}", self.kept)).unwrap();
            if is_wanted(&heard) {
                return heard;
            }
            self.kept.push(heard);
        }
    }
}

#[derive(Debug)]
struct Sender;

impl Writer for Sender {
    type Request = Message;
    type Response = ();

    async fn write(&mut self, tx: &mut Tx<'_>, messages: &[Message]) -> Result<Vec<()>, Error> {
        messages.iter().map(|message| tx.send(message.clone())).collect()
    }
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl Handler for Ear {
    async fn handle(&mut self, _: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        for record in batch {
            let envelope = record.envelope.as_ref().unwrap();
            let heard = Heard {
                kind: envelope.kind.clone(),
                saga: envelope.saga.clone(),
                outcome: envelope.outcome.clone(),
                payload: record.payload.clone(),
            };
            self.0.send(heard).ok();
        }
        Ok(())
    }

    async fn set_aside(&mut self, _: &mut Tx<'_>, _: &Record, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
