//! Answers what sagas ask of orders: the decisions stand in `domain`.

use std::collections::HashMap;

use messaging::{Error, Participant, Tx};
use proto::{
    OrderCommand,
    order::{ApproveOrder, OrderCancelled, OrderConfirmed, OrderPlaced, RejectOrder},
};
use saga_contract::Answer;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    changes::Changes,
    domain::{Change, Standings, Status},
    store,
};

pub(crate) struct OrderParticipant {
    changes: Changes,
    /// By the transaction under way.
    decided: Vec<Change>,
}

impl OrderParticipant {
    pub(crate) fn new(changes: Changes) -> Self {
        OrderParticipant { changes, decided: Vec::new() }
    }
}

impl Participant for OrderParticipant {
    type Command = OrderCommand;
    type State = Standings;

    async fn load(
        &mut self,
        tx: &mut Tx<'_>,
        commands: &[OrderCommand],
    ) -> Result<Standings, Error> {
        let mut ids: Vec<Uuid> = commands.iter().filter_map(order_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let orders =
            if ids.is_empty() { HashMap::new() } else { store::lock_standings(tx, &ids).await? };
        Ok(Standings::new(orders, now()))
    }

    fn decide(state: &mut Standings, command: OrderCommand) -> Answer {
        command.decide(state)
    }

    async fn save(&mut self, tx: &mut Tx<'_>, state: Standings) -> Result<(), Error> {
        self.decided = state.into_changes();
        if self.decided.is_empty() {
            return Ok(());
        }
        store::save(tx, &self.decided).await?;
        for Change { order_id, status, reason, .. } in &self.decided {
            let order_id = order_id.to_string();
            tx.decided::<OrderPlaced>(&order_id);
            match status {
                Status::Confirmed => {
                    tx.publish(&order_id, &OrderConfirmed { order_id: order_id.clone() })?;
                }
                Status::Cancelled => {
                    let reason = reason.clone();
                    tx.publish(&order_id, &OrderCancelled { order_id: order_id.clone(), reason })?;
                }
                Status::Pending | Status::Cancelling => {}
            }
        }
        Ok(())
    }

    fn ended(&mut self, committed: bool) {
        let decided = std::mem::take(&mut self.decided);
        if !committed {
            return;
        }
        for Change { order_id, status, reason, .. } in &decided {
            metrics::counter!("orders_decided_total", "status" => status.as_str()).increment(1);
            tracing::debug!(order.id = %order_id, %status, reason, "decided");
        }
        self.changes.tell(decided);
    }
}

fn order_id(command: &OrderCommand) -> Option<Uuid> {
    let (OrderCommand::ApproveOrder(ApproveOrder { order_id })
    | OrderCommand::RejectOrder(RejectOrder { order_id, .. })) = command;
    Uuid::try_parse(order_id).ok()
}

/// To the microsecond, as Postgres keeps it: what is told from memory is what is read later.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}
