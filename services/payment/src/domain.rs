//! What may happen to a payment: it is authorized or declined, then captured or voided. Pure.

mod calls;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::{
    PaymentCommands, is_currency,
    payment::{
        AuthorizePayment, CapturePayment, PaymentAuthorized, PaymentCaptured, PaymentVoided,
        VoidPayment,
    },
};
use saga_contract::{Decision, Settled};
use uuid::Uuid;

pub(crate) use self::calls::{Call, CallKind, CallResult, Reply, Said};
use crate::gateway::{Charge, Gateway, Outcome};

/// The payments that a batch of commands is about.
#[derive(Debug)]
pub(crate) struct Ledger<G> {
    pub(crate) payments: Payments,
    /// What should have been impossible. Nothing of the batch is saved then, and the command that
    /// is to blame becomes a dead letter: a person must look. Never answering would hide it.
    pub(crate) impossible: Option<String>,
    gateway: Arc<G>,
}

/// By order.
#[derive(Debug, Default)]
pub(crate) struct Payments(pub(crate) BTreeMap<Uuid, Payment>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Its `try_number` counts the calls so far.
    pub(crate) charge: Charge,
    pub(crate) status: Status,
    /// The gateway's own number for it; empty as long as it gave none.
    pub(crate) number: String,
    /// Why it was declined.
    pub(crate) reason: String,
    pub(crate) next_call: NextCall,
    pub(crate) row: Row,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Authorized,
    Declined,
    Captured,
    Voided,
}

/// When the gateway is to be called. Which call it is follows from the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextCall {
    None,
    /// As the row says.
    AsStored,
    In(Duration),
}

/// How a payment stands to its row in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    New,
    AsStored,
    Changed,
}

/// What a token may be long.
const METHOD_LENGTH_MAX: usize = 200;

impl<G> Ledger<G> {
    pub(crate) fn new(payments: Payments, gateway: Arc<G>) -> Self {
        Ledger { payments, impossible: None, gateway }
    }

    /// The answer is given up with the batch: it is never sent.
    fn impossible<R>(&mut self, what: String) -> Settled<R> {
        self.impossible.get_or_insert(what);
        Settled::Deferred
    }
}

impl<G: Gateway> PaymentCommands for Ledger<G> {
    fn authorize_payment(&mut self, command: AuthorizePayment) -> Decision<PaymentAuthorized> {
        let charge = match charge(command) {
            Ok(charge) => charge,
            Err(reason) => return Decision::Refused(reason),
        };
        let row = match self.payments.0.get(&charge.order_id) {
            // Judged anew: the customer may have another card, or another limit.
            Some(payment) if payment.status == Status::Declined => payment.row.changed(),
            Some(payment) => return payment.answer_again(&charge),
            None => Row::New,
        };
        let mut payment = Payment {
            status: Status::Pending,
            number: String::new(),
            reason: String::new(),
            next_call: NextCall::In(Duration::ZERO),
            row,
            charge,
        };
        let decision = match self.gateway.at_once(&payment.charge) {
            Some(outcome) => payment.decided(outcome),
            None => Decision::Deferred,
        };
        self.payments.0.insert(payment.charge.order_id, payment);
        decision
    }

    fn void_payment(&mut self, command: VoidPayment) -> Settled<PaymentVoided> {
        let held = order_id(&command.order_id).and_then(|id| self.payments.0.get_mut(&id));
        // Nothing was held, as nothing can be under what is not an order id.
        let Some(payment) = held else { return Settled::Done(PaymentVoided {}) };
        match payment.status {
            Status::Authorized if payment.is_being_captured() => {
                let what = "its money is being taken: it cannot be let go";
                return self.impossible(format!("order {}: {what}", command.order_id));
            }
            Status::Pending | Status::Authorized => {
                // The decision stands now. A call that is under way finds it, and the gateway is
                // told until it has understood.
                payment.status = Status::Voided;
                payment.next_call = if self.gateway.settles_at_once(&payment.charge) {
                    NextCall::None
                } else {
                    NextCall::In(Duration::ZERO)
                };
                payment.row = payment.row.changed();
            }
            Status::Declined | Status::Voided => {}
            Status::Captured => {
                let what = "its money was taken: it cannot be let go";
                return self.impossible(format!("order {}: {what}", command.order_id));
            }
        }
        Settled::Done(PaymentVoided {})
    }

    fn capture_payment(&mut self, command: CapturePayment) -> Settled<PaymentCaptured> {
        let held = order_id(&command.order_id).and_then(|id| self.payments.0.get_mut(&id));
        let Some(payment) = held else {
            let id: String = command.order_id.chars().take(METHOD_LENGTH_MAX).collect();
            return self
                .impossible(format!("order '{id}' has no payment: no money can be taken for it"));
        };
        match payment.status {
            Status::Captured => Settled::Done(PaymentCaptured {}),
            Status::Authorized if payment.is_being_captured() => Settled::Deferred,
            Status::Authorized => {
                payment.row = payment.row.changed();
                if self.gateway.settles_at_once(&payment.charge) {
                    payment.status = Status::Captured;
                    Settled::Done(PaymentCaptured {})
                } else {
                    payment.next_call = NextCall::In(Duration::ZERO);
                    Settled::Deferred
                }
            }
            Status::Pending | Status::Declined | Status::Voided => {
                let status = payment.status.label();
                let what = format!("its payment is {status}: no money can be taken for it");
                self.impossible(format!("order {}: {what}", command.order_id))
            }
        }
    }
}

impl Payment {
    /// Writes down what the gateway says to a pending payment.
    fn decided(&mut self, outcome: Outcome) -> Decision<PaymentAuthorized> {
        self.next_call = NextCall::None;
        match outcome {
            Outcome::Approved { number } => {
                self.status = Status::Authorized;
                self.number = number;
                self.done()
            }
            Outcome::Declined { reason } => {
                self.status = Status::Declined;
                self.reason = reason;
                Decision::Refused(self.reason.clone())
            }
        }
    }

    fn answer_again(&self, charge: &Charge) -> Decision<PaymentAuthorized> {
        let is_same = (charge.amount_minor, &charge.currency, &charge.method)
            == (self.charge.amount_minor, &self.charge.currency, &self.charge.method);
        match self.status {
            Status::Voided => Decision::Refused("the payment was voided before".to_owned()),
            Status::Declined => Decision::Refused(self.reason.clone()),
            Status::Pending | Status::Authorized | Status::Captured if !is_same => {
                Decision::Refused("there is another payment for this order already".to_owned())
            }
            Status::Pending => Decision::Deferred,
            Status::Authorized | Status::Captured => self.done(),
        }
    }

    fn done(&self) -> Decision<PaymentAuthorized> {
        Decision::Done(PaymentAuthorized { authorization: self.number.clone() })
    }

    fn is_being_captured(&self) -> bool {
        self.status == Status::Authorized && self.next_call != NextCall::None
    }
}

impl Row {
    fn changed(self) -> Self {
        match self {
            Row::New => Row::New,
            Row::AsStored | Row::Changed => Row::Changed,
        }
    }
}

fn charge(command: AuthorizePayment) -> Result<Charge, String> {
    let AuthorizePayment { order_id: id, amount, payment_method: method } = command;
    let order_id = order_id(&id).ok_or("the payment names no order id")?;
    let amount = amount.ok_or("the payment has no amount")?;
    if amount.minor_units <= 0 {
        return Err(format!("the amount must be positive, it is {}", amount.minor_units));
    }
    let currency = amount.currency;
    if !is_currency(&currency) {
        return Err("the amount has no currency, an ISO 4217 code such as EUR".to_owned());
    }
    if method.is_empty() {
        return Err("the payment has no payment method".to_owned());
    }
    if method.len() > METHOD_LENGTH_MAX || method.contains(char::is_control) {
        return Err("the payment method is not a token".to_owned());
    }
    Ok(Charge { order_id, amount_minor: amount.minor_units, currency, method, try_number: 0 })
}

/// In the one spelling that orders are keyed by.
pub(crate) fn order_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text).then_some(id)
}

#[cfg(test)]
mod tests;
