//! What every metric of the engine says, as `/metrics` gives it in its HELP lines.
//!
//! Whichever crate counts, there is one list. A service describes its own metrics where it starts. A
//! test holds both against the sources and against `docs/operating.md`.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// To be called once the recorder is there: one that comes later has not heard it.
pub(super) fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(name, Unit::Count, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, Unit::Count, help);
    }
    for (name, help) in DURATIONS {
        describe_histogram!(name, Unit::Seconds, help);
    }
}

const COUNTERS: [(&str, &str); 19] = [
    ("saga_started_total", "Sagas that began."),
    ("saga_ended_total", "Sagas that ended, by how."),
    ("saga_stuck_total", "Steps that a person must look at."),
    ("saga_commands_resent_total", "Commands sent again because nobody answered them."),
    ("saga_answers_left_total", "Answers to sagas that this build does not know, left to others."),
    ("saga_answers_repeated_total", "Answers that came late or twice, without effect."),
    ("saga_starts_repeated_total", "Events that had begun their saga before, without effect."),
    ("saga_forgotten_total", "Sagas that ended long ago and were deleted."),
    ("commands_late_total", "Commands that arrived when their sender waited no more."),
    ("outbox_published_total", "Records handed over to be sent to Kafka, those sent again too."),
    ("outbox_publish_failures_total", "Records that Kafka did not take: they are sent again."),
    ("events_announced_again_total", "Events told again because nobody decided what they began."),
    ("consumer_records_total", "Records that were handled."),
    ("consumer_batch_failures_total", "Transactions that failed and are tried again."),
    ("consumer_fetching_switched_total", "Changes between the ways to fetch: of few, of many."),
    ("consumer_rejoined_total", "Times that a group was joined again for partitions nobody had."),
    ("dead_letters_total", "Messages set aside because they cannot be handled."),
    ("grpc_requests_total", "Calls that were answered; a stream by the code it begins with."),
    ("trace_spans_dropped_total", "Spans that did not reach the collector."),
];

const GAUGES: [(&str, &str); 1] =
    [("outbox_backlog", "Records written that Kafka has not acknowledged yet.")];

const DURATIONS: [(&str, &str); 2] = [
    ("consumer_transaction_seconds", "How long the transaction of a batch took."),
    ("grpc_request_duration_seconds", "How long a call took; a stream until it began."),
];

#[cfg(test)]
mod tests;
