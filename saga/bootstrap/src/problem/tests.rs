use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Problem, exit_code, http_status};

const SECOND: Duration = Duration::from_secs(1);

/// Every row of the table: code, reason, HTTP status, exit code.
#[test]
fn each_problem_has_its_row() {
    let rows = [
        (Problem::invalid("sku", "is empty"), Code::InvalidArgument, "INVALID_ARGUMENT", 400, 2),
        (
            Problem::NotFound { resource_type: "order", name: "7".to_owned() },
            Code::NotFound,
            "NOT_FOUND",
            404,
            3,
        ),
        (
            Problem::AlreadyExists {
                reason: "REQUEST_ID_REUSED",
                resource_type: "order",
                name: "7".to_owned(),
                description: "used for another order".to_owned(),
            },
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            409,
            4,
        ),
        (
            Problem::FailedPrecondition {
                reason: "ORDER_CANCELLED",
                description: "is cancelled".to_owned(),
            },
            Code::FailedPrecondition,
            "ORDER_CANCELLED",
            400,
            4,
        ),
        (Problem::Busy { retry_after: SECOND }, Code::ResourceExhausted, "BUSY", 429, 5),
        (
            Problem::Unavailable { description: "away".to_owned(), retry_after: SECOND },
            Code::Unavailable,
            "UNAVAILABLE",
            503,
            5,
        ),
        (
            Problem::DeadlineExceeded { description: "too late".to_owned() },
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            504,
            6,
        ),
        (Problem::internal("secret"), Code::Internal, "INTERNAL", 500, 1),
    ];
    for (problem, code, reason, http, exit) in rows {
        let status = Status::from(problem);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (code, reason));
        assert_eq!((http_status(code), exit_code(code)), (http, exit));
        assert_eq!(info.domain, "saga");
        assert!(!status.message().contains("secret"));
    }
}

#[test]
fn violations_name_their_fields() {
    let problem = Problem::InvalidArgument {
        reason: "BAD_LINES",
        violations: vec![
            ("lines[0].sku".to_owned(), "is unknown".to_owned()),
            ("lines[3].quantity".to_owned(), "must be from 1 to 1000".to_owned()),
        ],
    };
    let status = Status::from(problem);
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[1].field, "lines[3].quantity");
    assert_eq!(
        status.message(),
        "lines[0].sku is unknown; lines[3].quantity must be from 1 to 1000"
    );
}

#[test]
fn retries_say_when() {
    let status = Status::from(Problem::Busy { retry_after: SECOND });
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(SECOND));
}

#[test]
fn a_database_that_is_away_is_worth_another_try() {
    assert_eq!(Status::from(Problem::from(sqlx::Error::PoolTimedOut)).code(), Code::Unavailable);
    assert_eq!(Status::from(Problem::from(sqlx::Error::RowNotFound)).code(), Code::Internal);
}
