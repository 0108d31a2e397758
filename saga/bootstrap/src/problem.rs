//! The one table from what went wrong to what a caller sees: gRPC code, reason, HTTP status and
//! the exit code of the command line, with `google.rpc` details.

use std::{error::Error, time::Duration};

use messaging::{Verdict, chain, writer::NotWritten};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// Why a request was not answered. Reasons are `UPPER_SNAKE_CASE` and stable: programs match them.
#[derive(Debug)]
pub enum Problem {
    /// The request can never be right as it stands; each violation is a field and what is wrong.
    InvalidArgument { reason: &'static str, violations: Vec<(String, String)> },
    /// There is no such thing.
    NotFound { resource_type: &'static str, name: String },
    /// The name or request id is taken by something else.
    AlreadyExists {
        reason: &'static str,
        resource_type: &'static str,
        name: String,
        description: String,
    },
    /// The request is right, but not in the state things are in.
    FailedPrecondition { reason: &'static str, description: String },
    /// Too much is going on; the same request may be sent again after `retry_after`.
    Busy { retry_after: Duration },
    /// Something this process needs does not answer; the same request may be sent again.
    Unavailable { description: String, retry_after: Duration },
    /// It took longer than it may; what was asked for may still be done.
    DeadlineExceeded { description: String },
    /// Something broke. The caller is told that, the log is told what.
    Internal { error: Box<dyn Error + Send + Sync> },
}

impl Problem {
    /// One field of the request is wrong.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::InvalidArgument {
            reason: "INVALID_ARGUMENT",
            violations: vec![(field.into(), description.into())],
        }
    }

    /// Something broke that is nobody's fault outside.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal { error: error.into() }
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let mut details = ErrorDetails::new();
        let (code, reason, message) = match problem {
            Problem::InvalidArgument { reason, violations } => {
                let message = violations
                    .iter()
                    .map(|(field, description)| format!("{field} {description}"))
                    .collect::<Vec<_>>()
                    .join("; ");
                let violations: Vec<_> = violations
                    .into_iter()
                    .map(|(field, description)| FieldViolation::new(field, description))
                    .collect();
                details.set_bad_request(violations);
                (Code::InvalidArgument, reason, message)
            }
            Problem::NotFound { resource_type, name } => {
                let message = format!("there is no {resource_type} '{name}'");
                details.set_resource_info(resource_type, name, "", message.clone());
                (Code::NotFound, "NOT_FOUND", message)
            }
            Problem::AlreadyExists { reason, resource_type, name, description } => {
                details.set_resource_info(resource_type, name, "", description.clone());
                (Code::AlreadyExists, reason, description)
            }
            Problem::FailedPrecondition { reason, description } => {
                details.add_precondition_failure_violation(reason, "", description.clone());
                (Code::FailedPrecondition, reason, description)
            }
            Problem::Busy { retry_after } => {
                details.set_retry_info(Some(retry_after));
                let message = format!("too busy; send it again after {retry_after:?}");
                (Code::ResourceExhausted, "BUSY", message)
            }
            Problem::Unavailable { description, retry_after } => {
                details.set_retry_info(Some(retry_after));
                (Code::Unavailable, "UNAVAILABLE", description)
            }
            Problem::DeadlineExceeded { description } => {
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", description)
            }
            Problem::Internal { error } => {
                tracing::error!(error = chain(&*error), "request failed");
                (Code::Internal, "INTERNAL", "something broke here; the log says what".to_owned())
            }
        };
        details.set_error_info(reason, DOMAIN, std::collections::HashMap::new());
        Self::with_error_details(code, message, details)
    }
}

const DOMAIN: &str = "saga";

/// What `?` on a write meets. Whatever was not done may be sent again: requests have ids.
impl From<NotWritten> for Problem {
    fn from(why: NotWritten) -> Self {
        match why {
            NotWritten::Busy => Problem::Busy { retry_after: RETRY_AFTER_BUSY },
            NotWritten::Stopping => Problem::Unavailable {
                description: "this process is stopping; send the same request again".to_owned(),
                retry_after: RETRY_AFTER_TROUBLE,
            },
            NotWritten::Unavailable(cause) => {
                tracing::warn!(cause, "not written");
                let description = "the database does not answer, so it is not known whether this \
                                   was done; send the same request again";
                let description = description.to_owned();
                Problem::Unavailable { description, retry_after: RETRY_AFTER_TROUBLE }
            }
            NotWritten::Failed(_) => Problem::internal(why),
        }
    }
}

const RETRY_AFTER_BUSY: Duration = Duration::from_millis(200);
const RETRY_AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// What `?` on a query meets: what is not about the query itself is worth another try.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let error = messaging::Error::from(error);
        match error.verdict() {
            Verdict::Culprit => Self::internal(error),
            Verdict::Again | Verdict::Later | Verdict::Stop => {
                tracing::warn!(error = chain(&error), "database does not answer");
                let description = "the database does not answer; send it again".to_owned();
                Self::Unavailable { description, retry_after: RETRY_AFTER_TROUBLE }
            }
        }
    }
}

/// The exit code of the command line for an answer of this code:
///
/// | exit | meaning | codes |
/// |---|---|---|
/// | 0 | done | `OK` |
/// | 1 | anything else, such as a fault in the server | the rest |
/// | 2 | wrong usage or request | `INVALID_ARGUMENT`, `OUT_OF_RANGE` |
/// | 3 | no such thing | `NOT_FOUND` |
/// | 4 | refused in this state | `FAILED_PRECONDITION`, `ALREADY_EXISTS`, `ABORTED` |
/// | 5 | not reachable or too busy: try again | `UNAVAILABLE`, `RESOURCE_EXHAUSTED` |
/// | 6 | no answer in time: the work may still be done | `DEADLINE_EXCEEDED` |
pub fn exit_code(code: Code) -> u8 {
    match code {
        Code::Ok => 0,
        Code::InvalidArgument | Code::OutOfRange => 2,
        Code::NotFound => 3,
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => 4,
        Code::Unavailable | Code::ResourceExhausted => 5,
        Code::DeadlineExceeded => 6,
        Code::Cancelled
        | Code::Unknown
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => 1,
    }
}

/// The HTTP status for an answer of this code, as `google.rpc.Code` has it.
pub fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    }
}

#[cfg(test)]
mod tests;
