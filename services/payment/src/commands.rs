//! Answers what sagas ask of payments.

use std::sync::Arc;

use messaging::{Error, Participant, Tx};
use proto::PaymentCommand;
use saga_contract::Answer;
use tokio::sync::Notify;

use crate::{
    domain::{Ledger, NextCall, order_id},
    gateway::Gateway,
    store,
};

pub(crate) struct Payments<G> {
    gateway: Arc<G>,
    /// Wakes who calls the gateway.
    due: Arc<Notify>,
    batch_needs_calls: bool,
}

impl<G> Payments<G> {
    pub(crate) fn new(gateway: Arc<G>, due: Arc<Notify>) -> Self {
        Payments { gateway, due, batch_needs_calls: false }
    }
}

impl<G: Gateway> Participant for Payments<G> {
    type Command = PaymentCommand;
    type State = Ledger<G>;

    async fn load(
        &mut self,
        tx: &mut Tx<'_>,
        commands: &[PaymentCommand],
    ) -> Result<Ledger<G>, Error> {
        let orders: Vec<_> =
            commands.iter().filter_map(|command| order_id(named(command))).collect();
        Ok(Ledger::new(store::load(tx, &orders).await?, Arc::clone(&self.gateway)))
    }

    fn decide(ledger: &mut Ledger<G>, command: PaymentCommand) -> Answer {
        command.decide(ledger)
    }

    async fn save(&mut self, tx: &mut Tx<'_>, ledger: Ledger<G>) -> Result<(), Error> {
        if let Some(impossible) = ledger.impossible {
            return Err(Error::Other(impossible));
        }
        let payments = ledger.payments;
        self.batch_needs_calls =
            payments.0.values().any(|payment| matches!(payment.next_call, NextCall::In(_)));
        Ok(store::save(tx, &payments).await?)
    }

    fn ended(&mut self, committed: bool) {
        if std::mem::take(&mut self.batch_needs_calls) && committed {
            self.due.notify_one();
        }
    }
}

fn named(command: &PaymentCommand) -> &str {
    match command {
        PaymentCommand::AuthorizePayment(command) => &command.order_id,
        PaymentCommand::VoidPayment(command) => &command.order_id,
        PaymentCommand::CapturePayment(command) => &command.order_id,
    }
}
