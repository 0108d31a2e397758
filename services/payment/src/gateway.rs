//! Who moves the money. The built-in gateway decides by the token of the payment method; a networked
//! one takes its place by implementing [`Gateway`].

use uuid::Uuid;

/// A payment gateway.
///
/// Every call may be made again: after a timeout, after a crash, and from another process. So each
/// is idempotent by the order's id, and a void is final: an authorization that reaches the gateway
/// after the void of its order holds nothing.
pub trait Gateway: Send + Sync + 'static {
    /// What the gateway says to a charge if it can tell without a call, purely. Then one transaction
    /// does it all.
    fn at_once(&self, _charge: &Charge) -> Option<Outcome> {
        None
    }

    /// Whether capturing and voiding this charge needs no call.
    fn settles_at_once(&self, _charge: &Charge) -> bool {
        false
    }

    /// Holds the money. Called for what [`Gateway::at_once`] did not decide; until it answers, or
    /// the charge is voided.
    fn authorize(
        &self,
        charge: &Charge,
    ) -> impl Future<Output = Result<Outcome, Unavailable>> + Send;

    /// Takes the money that is held under this number. Called until it succeeds.
    fn capture(
        &self,
        charge: &Charge,
        number: &str,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Lets the money go. The number is empty when no authorization was answered; there may be one
    /// nevertheless. Called until it succeeds.
    fn void(
        &self,
        charge: &Charge,
        number: &str,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// What is to be held, of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub order_id: Uuid,
    /// In the currency's minor unit; positive.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Token of the payment method.
    pub method: String,
    /// Calls of the gateway for this order, this one counted; 0 when it is not called.
    pub try_number: u32,
}

/// What the gateway says to a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The money is held, under the gateway's own number.
    Approved { number: String },
    /// In words for the customer.
    Declined { reason: String },
}

/// The gateway did not do it, or did not say: the same may be asked again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Decides by the token of the payment method, moves no money and keeps nothing:
///
/// | token | says |
/// |---|---|
/// | `tok_ok` | approved |
/// | `tok_declined` | declined |
/// | `tok_flaky` | unavailable the first three times, then approved |
/// | `tok_silent` | nothing, ever |
/// | anything else | declined |
#[derive(Debug, Clone, Copy)]
pub struct TokenGateway;

impl Gateway for TokenGateway {
    fn at_once(&self, charge: &Charge) -> Option<Outcome> {
        match charge.method.as_str() {
            "tok_ok" => Some(approved(charge)),
            "tok_declined" => Some(Outcome::Declined { reason: "card declined".to_owned() }),
            "tok_flaky" | "tok_silent" => None,
            unknown => Some(Outcome::Declined {
                reason: format!(
                    "unknown payment method token '{unknown}'; there are tok_ok, tok_declined, \
                     tok_flaky and tok_silent"
                ),
            }),
        }
    }

    fn settles_at_once(&self, _: &Charge) -> bool {
        true
    }

    async fn authorize(&self, charge: &Charge) -> Result<Outcome, Unavailable> {
        match charge.method.as_str() {
            "tok_silent" => std::future::pending().await,
            "tok_flaky" if charge.try_number <= FLAKY_TRIES => {
                Err(Unavailable("the gateway has a bad moment".to_owned()))
            }
            _ => Ok(self.at_once(charge).unwrap_or_else(|| approved(charge))),
        }
    }

    async fn capture(&self, _: &Charge, _: &str) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn void(&self, _: &Charge, _: &str) -> Result<(), Unavailable> {
        Ok(())
    }
}

const FLAKY_TRIES: u32 = 3;

/// The number follows from the order, so that asking twice gives the same.
fn approved(charge: &Charge) -> Outcome {
    Outcome::Approved { number: format!("auth-{}", charge.order_id.simple()) }
}

#[cfg(test)]
mod tests;
