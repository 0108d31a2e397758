use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::{Error, Verdict, chain, code_verdict, pause_after, within};
use crate::message::BadHeaders;

#[test]
fn every_failure_has_a_verdict() {
    let lane = "lane".to_owned();
    let (topic, kind) = (String::new(), String::new());
    for (failure, verdict) in [
        (Error::Conflict, Verdict::Again),
        (Error::Fenced { lane: lane.clone() }, Verdict::Stop),
        (Error::Expelled { lane, error: RDKafkaErrorCode::FencedInstanceId }, Verdict::Stop),
        (Error::TooLarge { topic, kind, size: 2, limit: 1 }, Verdict::Culprit),
        (Error::Panicked("oh".to_owned()), Verdict::Culprit),
        (Error::Headers(BadHeaders::Name), Verdict::Culprit),
        (Error::Other("oh".to_owned()), Verdict::Culprit),
        (Error::Topic("oh".to_owned()), Verdict::Culprit),
        (Error::Kafka(rdkafka::error::KafkaError::Canceled), Verdict::Later),
        (Error::NoAnswer(Duration::from_secs(1)), Verdict::Later),
        (Error::Database(sqlx::Error::PoolTimedOut), Verdict::Later),
        (Error::Database(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())), Verdict::Later),
        (Error::Database(sqlx::Error::WorkerCrashed), Verdict::Later),
        (Error::Database(sqlx::Error::RowNotFound), Verdict::Culprit),
        (Error::Database(sqlx::Error::ColumnNotFound("c".to_owned())), Verdict::Culprit),
    ] {
        assert_eq!(failure.verdict(), verdict, "{failure:?}");
    }
}

#[test]
fn what_postgres_says_is_about_the_data_or_about_the_surroundings() {
    for (code, verdict) in [
        ("40001", Verdict::Again),   // serialization failure
        ("40P01", Verdict::Again),   // deadlock
        ("23505", Verdict::Again),   // unique violation
        ("08006", Verdict::Later),   // connection failure
        ("0A000", Verdict::Later),   // the result of a prepared statement has other columns now
        ("26000", Verdict::Later),   // the prepared statement is gone
        ("25006", Verdict::Later),   // read-only, after a switch to a replica
        ("28P01", Verdict::Later),   // wrong password
        ("3D000", Verdict::Later),   // no such database
        ("42P01", Verdict::Later),   // no such table, yet
        ("53100", Verdict::Later),   // disk full
        ("55P03", Verdict::Later),   // lock not available
        ("57014", Verdict::Later),   // took longer than a statement may
        ("57P01", Verdict::Later),   // terminated by an administrator
        ("58030", Verdict::Later),   // I/O
        ("XX000", Verdict::Later),   // internal
        ("22021", Verdict::Culprit), // not text, for instance NUL
        ("23514", Verdict::Culprit), // check violation
        ("25P02", Verdict::Culprit), // the handler went on after an error
        ("P0001", Verdict::Culprit), // raised by a trigger
        ("", Verdict::Culprit),
    ] {
        assert_eq!(code_verdict(code), verdict, "{code}");
    }
}

#[test]
fn a_race_that_is_lost_again_and_again_is_none() {
    let verdicts: Vec<_> = (0..6).map(|tries| Error::Conflict.verdict_after(tries)).collect();
    let again = Verdict::Again;
    assert_eq!(verdicts, [again, again, again, again, Verdict::Culprit, Verdict::Culprit]);
    let later = Error::Database(sqlx::Error::PoolTimedOut);
    assert_eq!(later.verdict_after(1_000), Verdict::Later);
}

#[test]
fn pauses_grow_up_to_a_second_or_so() {
    for (tries, millis) in [(0, 20), (1, 40), (3, 160), (6, 1_000), (40, 1_000)] {
        let pause = pause_after(tries);
        let wanted = Duration::from_millis(millis);
        assert!(pause >= wanted * 3 / 4 && pause <= wanted * 5 / 4, "{tries}: {pause:?}");
    }
}

#[tokio::test]
async fn a_postgres_that_says_nothing_is_not_waited_for_and_its_connection_not_used_again() {
    let patience = Duration::from_millis(10);
    let silent = within(patience, std::future::pending::<Result<(), Error>>()).await.unwrap_err();
    assert!(matches!(silent, Error::NoAnswer(waited) if waited == patience), "{silent}");
    assert!(silent.spoils_connection());
    assert!(!Error::Conflict.spoils_connection());
    assert!(within(patience, async { Ok(()) }).await.is_ok());
}

#[test]
fn an_error_is_told_with_its_causes() {
    let error = Error::Database(sqlx::Error::PoolTimedOut);
    assert!(chain(&error).starts_with("the database said no: pool timed out"), "{}", chain(&error));
}
