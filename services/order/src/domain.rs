//! What an order is, and what may become of it. Pure: nothing here waits, and nothing is written.

use std::{collections::HashMap, fmt};

use proto::{
    OrderCommands,
    order::{ApproveOrder, OrderApproved, OrderPlaced, OrderRejected, PlacedLine, RejectOrder},
    shop::Money,
};
use saga_contract::{Decision, Settled};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::{error, warn};
use uuid::Uuid;

use crate::refused::Refused;

/// An order as it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) status: Status,
    pub(crate) customer_id: String,
    pub(crate) payment_method: String,
    pub(crate) currency: String,
    pub(crate) total_minor: i64,
    pub(crate) lines: Vec<Line>,
    /// Why the customer wants it cancelled, or why it was.
    pub(crate) reason: String,
    pub(crate) placed_at: OffsetDateTime,
    /// When it was confirmed or cancelled.
    pub(crate) decided_at: Option<OffsetDateTime>,
}

/// What a customer orders of one item, at the price of that moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price_minor: i64,
}

/// In the order in which an order can go through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Pending,
    /// The customer wants it cancelled; the saga has not undone it yet.
    Cancelling,
    Confirmed,
    Cancelled,
}

/// How an order stands from now on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) order_id: Uuid,
    pub(crate) status: Status,
    pub(crate) reason: String,
    pub(crate) decided_at: Option<OffsetDateTime>,
}

impl Order {
    /// What all are told when it is placed.
    pub(crate) fn placed(&self) -> OrderPlaced {
        let line = |line: &Line| PlacedLine { sku: line.sku.clone(), quantity: line.quantity };
        OrderPlaced {
            order_id: self.id.to_string(),
            lines: self.lines.iter().map(line).collect(),
            total: Some(Money { minor_units: self.total_minor, currency: self.currency.clone() }),
            payment_method: self.payment_method.clone(),
            customer_id: self.customer_id.clone(),
        }
    }

    /// Pieces over all lines.
    pub(crate) fn piece_count(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.quantity)).sum()
    }

    /// As it was answered when it was taken.
    pub(crate) fn when_taken(self) -> Order {
        Order { status: Status::Pending, reason: String::new(), decided_at: None, ..self }
    }

    /// The customer does not want it any more. Gives what changes; nothing when it is cancelled, or
    /// being cancelled, already.
    pub(crate) fn cancel(&mut self, reason: &str) -> Result<Option<Change>, Refused> {
        match self.status {
            Status::Pending => {
                let reason = if reason.is_empty() { CANCELLED_BY_CUSTOMER } else { reason };
                self.status = Status::Cancelling;
                reason.clone_into(&mut self.reason);
                Ok(Some(self.as_change()))
            }
            Status::Cancelling | Status::Cancelled => Ok(None),
            Status::Confirmed => Err(Refused::Confirmed(self.id)),
        }
    }

    /// Tells whether the change is news.
    pub(crate) fn apply(&mut self, change: &Change) -> bool {
        if !change.status.comes_after(self.status) {
            return false;
        }
        self.status = change.status;
        self.reason.clone_from(&change.reason);
        self.decided_at = change.decided_at;
        true
    }

    pub(crate) fn as_change(&self) -> Change {
        Change {
            order_id: self.id,
            status: self.status,
            reason: self.reason.clone(),
            decided_at: self.decided_at,
        }
    }
}

/// What is told when the customer gives no reason.
const CANCELLED_BY_CUSTOMER: &str = "cancelled by the customer";

impl Status {
    pub(crate) const ALL: [Status; 4] =
        [Status::Pending, Status::Cancelling, Status::Confirmed, Status::Cancelled];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Cancelling => "cancelling",
            Status::Confirmed => "confirmed",
            Status::Cancelled => "cancelled",
        }
    }

    /// Whether nothing changes any more.
    pub(crate) fn is_decided(self) -> bool {
        match self {
            Status::Pending | Status::Cancelling => false,
            Status::Confirmed | Status::Cancelled => true,
        }
    }

    pub(crate) fn comes_after(self, earlier: Status) -> bool {
        !earlier.is_decided() && self > earlier
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an order cannot be {0:?}")]
pub(crate) struct UnknownStatus(String);

impl TryFrom<String> for Status {
    type Error = UnknownStatus;

    fn try_from(text: String) -> Result<Self, UnknownStatus> {
        let status = Status::ALL.into_iter().find(|status| status.as_str() == text);
        status.ok_or(UnknownStatus(text))
    }
}

/// How the orders stand that a batch of commands is about.
#[derive(Debug)]
pub(crate) struct Standings {
    orders: HashMap<Uuid, Standing>,
    now: OffsetDateTime,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    pub(crate) reason: String,
}

impl Standings {
    pub(crate) fn new(orders: HashMap<Uuid, Standing>, now: OffsetDateTime) -> Self {
        Standings { orders, now, changes: Vec::new() }
    }

    /// What the commands have decided, each order at most once: what is decided stays.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    fn decide(&mut self, order_id: Uuid, status: Status, reason: String) {
        let change =
            Change { order_id, status, reason: reason.clone(), decided_at: Some(self.now) };
        self.changes.push(change);
        self.orders.insert(order_id, Standing { status, reason });
    }

    fn find(&self, order_id: &str) -> Option<(Uuid, Standing)> {
        let order_id = Uuid::try_parse(order_id).ok()?;
        Some((order_id, self.orders.get(&order_id)?.clone()))
    }
}

impl OrderCommands for Standings {
    fn approve_order(&mut self, command: ApproveOrder) -> Decision<OrderApproved> {
        let Some((order_id, Standing { status, reason })) = self.find(&command.order_id) else {
            let id = one_line(&command.order_id, SHOWN_ID_LENGTH);
            return Decision::Refused(format!("there is no order '{id}'"));
        };
        match status {
            Status::Pending => {
                self.decide(order_id, Status::Confirmed, String::new());
                Decision::Done(OrderApproved {})
            }
            Status::Confirmed => Decision::Done(OrderApproved {}),
            Status::Cancelling => Decision::Refused("the customer cancelled it".to_owned()),
            Status::Cancelled => Decision::Refused(format!("it is cancelled: {reason}")),
        }
    }

    fn reject_order(&mut self, command: RejectOrder) -> Settled<OrderRejected> {
        let Some((order_id, Standing { status, reason })) = self.find(&command.order_id) else {
            // There is nothing to turn down, and a retriable command cannot be refused.
            warn!(order.id = command.order_id, "asked to reject an order that is not there");
            return Settled::Done(OrderRejected {});
        };
        match status {
            Status::Pending => {
                let reason = one_line(&command.reason, MAX_REASON_LENGTH);
                self.decide(order_id, Status::Cancelled, reason);
            }
            // Whatever the saga stumbled over: that is what the customer wanted.
            Status::Cancelling => self.decide(order_id, Status::Cancelled, reason),
            Status::Cancelled => {}
            // A saga rejects only before its pivot, and the pivot confirms. If it is asked for all
            // the same, the confirmation stands: the customer has been told, and money and goods
            // may be on their way. A person has to find out who asked.
            Status::Confirmed => {
                error!(order.id = %order_id, reason = command.reason, "asked to reject a confirmed order, left as it is");
            }
        }
        Settled::Done(OrderRejected {})
    }
}

/// Postgres takes no NUL, and a customer reads one line.
fn one_line(text: &str, max_length: usize) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(max_length).map(printable).collect()
}

/// In characters, as the next one.
const MAX_REASON_LENGTH: usize = 1_000;
/// As much of what should be an id as a refusal repeats.
const SHOWN_ID_LENGTH: usize = 64;

#[cfg(test)]
mod tests;
