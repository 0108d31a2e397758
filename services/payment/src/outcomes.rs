//! Where it is written what came of the gateway's calls: many in one transaction, together with the
//! answers that sagas wait for.

use messaging::{Error, Tx, Writer, answer};
use proto::payment::{AuthorizePayment, CapturePayment, PaymentCaptured};
use saga_contract::Decision;

use crate::{
    domain::{CallResult, Reply},
    store,
};

pub(crate) struct Outcomes;

impl Writer for Outcomes {
    type Request = CallResult;
    type Response = ();

    /// The rows are locked first: a command that voids a payment meanwhile comes before, and is
    /// seen, or after, and finds what is written here.
    async fn write(&mut self, tx: &mut Tx<'_>, results: &[CallResult]) -> Result<Vec<()>, Error> {
        let orders: Vec<_> = results.iter().map(|result| result.order_id).collect();
        let mut payments = store::load(tx, &orders).await?;
        let note = |result: &CallResult| Some((result.order_id, payments.note(result.clone())?));
        let replies: Vec<_> = results.iter().filter_map(note).collect();
        store::save(tx, &payments).await?;
        for (order_id, reply) in replies {
            let key = order_id.to_string();
            match reply {
                Reply::Authorization(decision) => {
                    answer::<AuthorizePayment>(tx, &key, decision).await?;
                }
                Reply::Captured => {
                    let done = Decision::Done(PaymentCaptured {});
                    answer::<CapturePayment>(tx, &key, done).await?;
                }
            }
        }
        Ok(vec![(); results.len()])
    }
}
