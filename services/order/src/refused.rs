//! Why a request is not done, as the order service's rules have it, and how the caller is told.

use bootstrap::Problem;
use uuid::Uuid;

/// A rule of the order service says no: nothing changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refused {
    /// The request cannot be right as it stands.
    Invalid {
        reason: &'static str,
        violations: Vec<(String, String)>,
    },
    /// The request id was used for another content.
    RequestIdReused(String),
    NoSuchOrder(Uuid),
    /// It is too late to cancel.
    Confirmed(Uuid),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid { reason, violations } => {
                Problem::InvalidArgument { reason, violations }
            }
            Refused::RequestIdReused(request_id) => Problem::AlreadyExists {
                reason: "REQUEST_ID_REUSED",
                resource_type: "order request",
                description: format!(
                    "request id '{request_id}' was used for an order with another content; send \
                     the same content to get that order, or choose a new request id"
                ),
                name: request_id,
            },
            Refused::NoSuchOrder(order_id) => {
                Problem::NotFound { resource_type: "order", name: order_id.to_string() }
            }
            Refused::Confirmed(order_id) => Problem::FailedPrecondition {
                reason: "ORDER_CONFIRMED",
                description: format!(
                    "order '{order_id}' is confirmed and cannot be cancelled any more"
                ),
            },
        }
    }
}
