//! Stands in for the shop's services: publishes what begins sagas, hears every command, and answers
//! as the test says.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use messaging::{
    Error, Handler, Message, Messaging, Record, SagaContext, Tx, Writer, Writes, message::Outcome,
};
use proto::{
    order::{OrderPlaced, PlacedLine},
    shop::Money,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::process::{PATIENCE, until_number};

const COMMANDS: [&str; 3] = ["order.commands.v1", "inventory.commands.v1", "payment.commands.v1"];
const EVENTS: &str = "order.events.v1";
const NAME: &str = "participants";

pub struct Participants {
    sender: Writes<Sender>,
    heard: mpsc::UnboundedReceiver<Asked>,
    kept: Vec<Asked>,
    agreeable: Arc<AtomicBool>,
    db: PgPool,
    _stop: DropGuard,
}

/// A command that was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Of the message: the same command sent again has another one.
    pub id: Uuid,
    pub key: String,
    pub kind: String,
    pub saga: SagaContext,
    pub deadline: Option<OffsetDateTime>,
    pub payload: Vec<u8>,
}

impl Asked {
    pub fn answer(&self, outcome: Outcome, payload: Vec<u8>) -> Message {
        let mut message = Message::parked(NAME, &self.key, self.saga.clone(), String::new());
        message.envelope.outcome = Some(outcome);
        Message { payload, ..message }
    }
}

impl Participants {
    /// They say nothing by themselves.
    pub async fn start(common: &bootstrap::Common) -> Self {
        let url = provision::cluster::shared().await.database(NAME).await;
        let db = PgPool::connect(&url).await.unwrap();
        let stop = CancellationToken::new();
        let topics = [COMMANDS.as_slice(), &[EVENTS]].concat();
        let options = common.messaging(NAME, &url, &topics);
        let messaging = Messaging::start(options, db.clone(), stop.clone()).await.unwrap();
        let (sender, sending) = messaging.writer("send", Sender);
        let (ear, heard) = mpsc::unbounded_channel();
        let agreeable = Arc::new(AtomicBool::new(false));
        let ear = Ear { heard: ear, agreeable: Arc::clone(&agreeable) };
        tokio::spawn(async move { sending.await.unwrap() });
        tokio::spawn(async move {
            let topics = COMMANDS.map(str::to_owned).to_vec();
            messaging.consumer("hear", topics, ear).await.unwrap();
        });
        Participants { sender, heard, kept: Vec::new(), agreeable, db, _stop: stop.drop_guard() }
    }

    /// From now on, whatever is asked is done.
    pub fn agree(&self) {
        self.agreeable.store(true, Ordering::SeqCst);
    }

    pub async fn publish_placed(&self, order_id: &str) {
        self.send(placed(order_id)).await;
    }

    /// Whatever it says.
    pub async fn send(&self, message: Message) {
        self.sender.write(vec![message]).await.unwrap();
    }

    /// Returns when they are in the topic.
    pub async fn send_all(&self, messages: Vec<Message>) {
        self.sender.write(messages).await.unwrap();
        until_number(&self.db, "SELECT sum(last_seq - published_seq)::bigint FROM outbox_lane", 0)
            .await;
    }

    pub async fn succeed(&self, asked: &Asked) {
        self.reply(asked, Vec::new()).await;
    }

    pub async fn reply(&self, asked: &Asked, reply: Vec<u8>) {
        self.send(asked.answer(Outcome::Succeeded, reply)).await;
    }

    pub async fn park(&self, asked: &Asked, reason: &str) {
        let outcome = Outcome::Parked(reason.to_owned());
        self.send(asked.answer(outcome, Vec::new())).await;
    }

    /// The next command to this step; others are kept for later.
    pub async fn asked(&mut self, step: &str) -> Asked {
        self.next(|asked| asked.saga.step == step).await
    }

    /// The next command that is wanted; others are kept for later.
    pub async fn next(&mut self, is_wanted: impl Fn(&Asked) -> bool) -> Asked {
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

    /// All that was heard and not yet given out.
    pub fn take_heard(&mut self) -> Vec<Asked> {
        while let Ok(heard) = self.heard.try_recv() {
            self.kept.push(heard);
        }
        mem::take(&mut self.kept)
    }
}

/// An order was placed.
pub fn placed(order_id: &str) -> Message {
    let event = OrderPlaced {
        order_id: order_id.to_owned(),
        lines: vec![PlacedLine { sku: "SKU-1".to_owned(), quantity: 2 }],
        total: Some(Money { minor_units: 500, currency: "EUR".to_owned() }),
        payment_method: "tok-visa".to_owned(),
        customer_id: "ada".to_owned(),
    };
    Message::event(NAME, order_id, &event)
}

#[derive(Debug)]
struct Sender;

impl Writer for Sender {
    type Request = Vec<Message>;
    type Response = ();

    async fn write(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[Vec<Message>],
    ) -> Result<Vec<()>, Error> {
        let mut send = |messages: &Vec<Message>| {
            messages.iter().try_for_each(|message| tx.send(message.clone()))
        };
        requests.iter().map(&mut send).collect()
    }
}

struct Ear {
    heard: mpsc::UnboundedSender<Asked>,
    agreeable: Arc<AtomicBool>,
}

impl Handler for Ear {
    async fn handle(&mut self, tx: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        for record in batch {
            let envelope = record.envelope.as_ref().unwrap();
            let asked = Asked {
                id: envelope.id,
                key: envelope.key.clone(),
                kind: envelope.kind.clone(),
                saga: envelope.saga.clone().unwrap(),
                deadline: envelope.deadline,
                payload: record.payload.clone(),
            };
            if self.agreeable.load(Ordering::SeqCst) {
                tx.send(asked.answer(Outcome::Succeeded, Vec::new()))?;
            }
            self.heard.send(asked).ok();
        }
        Ok(())
    }

    async fn set_aside(
        &mut self,
        _: &mut Tx<'_>,
        record: &Record,
        reason: &str,
    ) -> Result<(), Error> {
        panic!("{record:?}: {reason}");
    }
}
