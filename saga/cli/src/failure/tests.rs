use std::time::Duration;

use bootstrap::Problem;

use super::*;

fn told(problem: Problem) -> (String, u8) {
    let failure = Failure::from_status(&problem.into(), "order service", "127.0.0.1:7101");
    (anstream::adapter::strip_str(&failure.text()).to_string(), failure.exit_code())
}

#[test]
fn every_wrong_field_is_named() {
    let (text, exit_code) = told(Problem::InvalidArgument {
        reason: "INVALID_ARGUMENT",
        violations: vec![
            ("lines[0].sku".to_owned(), "is unknown: 'SKU-77'".to_owned()),
            ("lines[1].quantity".to_owned(), "must be at least 1".to_owned()),
        ],
    });
    assert_eq!(
        text,
        "error: the order service refused the request\n  \
         why:  lines[0].sku is unknown: 'SKU-77'\n  \
         why:  lines[1].quantity must be at least 1\n  \
         next: `saga stock list` shows the items there are"
    );
    assert_eq!(exit_code, 2);
}

#[test]
fn what_is_missing_says_where_to_look() {
    let (text, exit_code) = told(Problem::NotFound { resource_type: "order", name: "7".into() });
    assert_eq!(
        text,
        "error: the order service says: there is no order '7'\n  \
         next: `saga order list` shows the orders there are"
    );
    assert_eq!(exit_code, 3);
}

#[test]
fn a_busy_service_says_when_to_come_back() {
    let (text, exit_code) = told(Problem::Busy { retry_after: Duration::from_millis(500) });
    assert!(text.ends_with("next: send it again after 500 ms"), "{text}");
    assert_eq!(exit_code, 5);
}

#[test]
fn the_failure_of_another_process_is_told_as_it_was_told_there() {
    let failure = Failure::of_code(Code::FailedPrecondition, "no port").why("a").next("b");
    let told = anstream::adapter::strip_str(&failure.text()).to_string();
    let log = format!("2026 INFO saga: it said error: nothing\n{told}\n");
    let retold = Failure::retold(&log, failure.exit_code()).unwrap();
    assert_eq!(anstream::adapter::strip_str(&retold.text()).to_string(), told);
    assert_eq!(retold.exit_code(), 4);
    assert!(Failure::retold("thread 'main' panicked", 101).is_none());
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(failure.exit_code(), 0);
}

#[tokio::test]
async fn a_closed_port_says_how_to_start_the_system() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{free}")).unwrap().connect_lazy();
    let mut client = proto::order::order_service_client::OrderServiceClient::new(channel);
    let status =
        client.list_catalog(proto::order::ListCatalogRequest::default()).await.unwrap_err();

    let failure = Failure::from_status(&status, "order service", &free.to_string());
    assert!(failure.what.starts_with("nothing listens on"), "{failure:?}");
    assert!(failure.next.as_ref().unwrap().contains("saga up"), "{failure:?}");
    assert_eq!(failure.exit_code(), 5);
}

#[test]
fn an_order_that_may_be_taken_can_be_sent_again_as_the_same() {
    let of = |status: Status| {
        let failure = Failure::from_status(&status, "order service", "127.0.0.1:7101");
        failure.of_request("r-1").text()
    };
    for status in [Status::deadline_exceeded("late"), Status::unavailable("gone")] {
        assert!(of(status).contains("--request-id r-1"));
    }
    for status in [Status::invalid_argument("no"), Status::resource_exhausted("busy")] {
        assert!(!of(status).contains("r-1"));
    }
}

#[test]
fn what_happens_on_this_side_has_the_code_of_its_meaning() {
    let code = |error: &str, code| {
        let status = Status::from_error(error.into());
        assert_eq!(status.code(), code, "what tonic makes of it");
        Failure::from_status(&status, "coordinator", "127.0.0.1:7100").exit_code()
    };
    assert_eq!(code("h2 protocol error", Code::Unknown), 5);
}
