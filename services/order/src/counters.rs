//! What `/metrics` says of what this service counts.

use metrics::Unit;

/// To be called once telemetry runs.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "orders_placed_total",
        Unit::Count,
        "Orders that were acknowledged."
    );
    metrics::describe_counter!(
        "orders_decided_total",
        Unit::Count,
        "Orders that were confirmed or cancelled."
    );
}
