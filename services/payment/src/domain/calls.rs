//! What came of a call of the gateway, and what follows. Pure.

use std::time::Duration;

use proto::payment::PaymentAuthorized;
use saga_contract::Decision;
use uuid::Uuid;

use super::{NextCall, Payment, Payments, Status};
use crate::gateway::{Charge, Outcome};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Doublings of the first pause, after which the longest one is reached in any case.
const DOUBLINGS_MAX: u32 = 16;
/// The gateway's words are stored and travel in a header.
const WORDS_LENGTH_MAX: usize = 200;

/// A call that is to be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) kind: CallKind,
    pub(crate) charge: Charge,
    /// The gateway's own number for it, if it gave one.
    pub(crate) number: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    Authorize,
    Capture,
    Void,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallResult {
    pub(crate) order_id: Uuid,
    pub(crate) try_number: u32,
    pub(crate) said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Authorization(Outcome),
    Captured,
    Voided,
    /// Nothing, or nothing of use.
    Unavailable,
}

/// An answer that a saga waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Authorization(Decision<PaymentAuthorized>),
    Captured,
}

impl CallKind {
    /// What a payment of this status needs the gateway for.
    pub(crate) fn of(status: Status) -> Option<Self> {
        match status {
            Status::Pending => Some(CallKind::Authorize),
            Status::Authorized => Some(CallKind::Capture),
            Status::Voided | Status::Declined => Some(CallKind::Void),
            Status::Captured => None,
        }
    }
}

impl Payments {
    /// Writes down what came of a call.
    pub(crate) fn note(&mut self, result: CallResult) -> Option<Reply> {
        let payment = self.0.get_mut(&result.order_id)?;
        let reply = payment.note(result.said, result.try_number);
        if payment.next_call != NextCall::AsStored {
            payment.row = payment.row.changed();
        }
        reply
    }
}

impl Payment {
    fn note(&mut self, said: Said, try_number: u32) -> Option<Reply> {
        match (said, self.status) {
            (Said::Authorization(outcome), Status::Pending) => {
                Some(Reply::Authorization(self.decided(bounded(outcome))))
            }
            // Too late: the saga went back meanwhile. What the gateway holds now it must let go.
            (
                Said::Authorization(Outcome::Approved { number }),
                Status::Voided | Status::Declined,
            ) => {
                self.number = cut(&number);
                self.next_call = NextCall::In(Duration::ZERO);
                // So that a void that is under way since before does not count for this.
                self.charge.try_number += 1;
                None
            }
            (Said::Captured, Status::Authorized) => {
                self.status = Status::Captured;
                self.next_call = NextCall::None;
                Some(Reply::Captured)
            }
            (Said::Voided, Status::Voided | Status::Declined)
                if self.charge.try_number == try_number =>
            {
                self.next_call = NextCall::None;
                None
            }
            (Said::Unavailable, _)
                if self.charge.try_number == try_number && self.next_call != NextCall::None =>
            {
                self.next_call = NextCall::In(pause_after(try_number));
                None
            }
            // A second answer to the same question: the first one stands.
            (
                Said::Authorization(_) | Said::Captured | Said::Voided | Said::Unavailable,
                Status::Pending
                | Status::Authorized
                | Status::Declined
                | Status::Captured
                | Status::Voided,
            ) => None,
        }
    }
}

/// Tries have no limit but the saga's deadline, which voids the payment; pauses have.
fn pause_after(try_number: u32) -> Duration {
    let doublings = try_number.saturating_sub(1).min(DOUBLINGS_MAX);
    (FIRST_PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE)
}

fn bounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Approved { number } => Outcome::Approved { number: cut(&number) },
        Outcome::Declined { reason } => Outcome::Declined { reason: cut(&reason) },
    }
}

fn cut(words: &str) -> String {
    words.chars().filter(|char| !char.is_control()).take(WORDS_LENGTH_MAX).collect()
}
