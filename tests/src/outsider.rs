//! Somebody else on the same Kafka, who says what nobody can read, and hears the dead letters.

use std::time::Duration;

use messaging::{
    Error, Handler, Message, Messaging, Options, Record, SagaContext, Tx, Writer, Writes,
    message::{Direction, Outcome},
};
use provision::cluster;
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{PATIENCE, Shop};

const NAME: &str = "outsider";
const HORIZON: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub struct Outsider {
    says: Writes<Says>,
    /// Topic and key of each dead letter.
    dead: mpsc::UnboundedReceiver<(String, String)>,
    _stop: DropGuard,
}

impl Outsider {
    /// Knows these topics of the shop.
    pub async fn beside(shop: &Shop, topics: &[&str]) -> Self {
        let database_url = cluster::shared().await.database(NAME).await;
        let db = PgPool::connect(&database_url).await.expect("a connection");
        let stop = CancellationToken::new();
        let options = Options {
            service: NAME,
            instance: "0".to_owned(),
            database_url,
            kafka: messaging::Kafka {
                brokers: shop.brokers().to_owned(),
                namespace: shop.namespace().to_owned(),
                partition_count: 4,
                replica_count: 1,
                retention: HORIZON,
            },
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            inbox_horizon: HORIZON,
            outbox_retention: HORIZON,
            observe: None,
        };
        let messaging = Messaging::start(options, db, stop.clone()).await.expect("a part in it");
        let (says, saying) = messaging.writer("says", Says);
        let (ear, dead) = mpsc::unbounded_channel();
        let dead_topics = topics.iter().map(|topic| format!("{topic}.dead")).collect();
        tokio::spawn(saying);
        tokio::spawn(async move { messaging.consumer("hears", dead_topics, Hears(ear)).await });
        Outsider { says, dead, _stop: stop.drop_guard() }
    }

    /// Bytes that are no protobuf, under the name of a message that belongs there; an answer to
    /// nothing, where answers belong.
    pub async fn says_rubbish(&self, topic: &str, kind: &str, key: &str) {
        let saga = SagaContext {
            saga_id: Uuid::now_v7(),
            definition: "place-order".to_owned(),
            step: "reserve-stock".to_owned(),
            direction: Direction::Invoke,
            attempt: 1,
            is_start: false,
        };
        let (topic, kind) = (topic.to_owned(), kind.to_owned());
        let mut message = Message::command(NAME, key, topic, kind, vec![0xff; 64], saga);
        if message.topic == messaging::message::REPLIES {
            message.envelope.outcome = Some(Outcome::Succeeded);
        }
        self.says.write(message).await.expect("an outbox");
    }

    /// Waits for a dead letter with this key.
    pub async fn hears_of_dead_letter(&mut self, topic: &str, key: &str) {
        let wanted = (format!("{topic}.dead"), key.to_owned());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = timeout_at(deadline, self.dead.recv()).await;
            let heard = heard.unwrap_or_else(|_| panic!("no {wanted:?}")).expect("an ear");
            if heard == wanted {
                return;
            }
        }
    }
}

/// Writes whatever there is to say.
#[derive(Debug)]
struct Says;

impl Writer for Says {
    type Request = Message;
    type Response = ();

    async fn write(&mut self, tx: &mut Tx<'_>, messages: &[Message]) -> Result<Vec<()>, Error> {
        messages.iter().map(|message| tx.send(message.clone())).collect()
    }
}

struct Hears(mpsc::UnboundedSender<(String, String)>);

impl Handler for Hears {
    async fn handle(&mut self, _: &mut Tx<'_>, batch: &[Record]) -> Result<(), Error> {
        for record in batch {
            let key = record.envelope.as_ref().map(|envelope| envelope.key.clone());
            // Who has gone does not listen any more.
            self.0.send((record.topic.to_string(), key.unwrap_or_default())).ok();
        }
        Ok(())
    }

    async fn set_aside(&mut self, _: &mut Tx<'_>, _: &Record, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
