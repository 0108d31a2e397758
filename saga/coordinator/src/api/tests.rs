use super::*;

fn field<T: std::fmt::Debug>(refused: Result<T, Problem>) -> String {
    match refused {
        Err(Problem::InvalidArgument { violations, .. }) => violations[0].0.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn one_filter_has_one_spelling() {
    let of = |statuses: &[pb::SagaStatus]| {
        let statuses = statuses.iter().map(|status| (*status).into()).collect();
        filter(&pb::ListSagasRequest { statuses, ..pb::ListSagasRequest::default() }).unwrap()
    };
    let (stuck, running) = (pb::SagaStatus::Stuck, pb::SagaStatus::Running);
    assert_eq!(of(&[stuck, running, stuck]), of(&[running, stuck]));
}

#[test]
fn what_is_wrong_with_a_filter_is_named() {
    let nothing = pb::ListSagasRequest::default;
    let bad = || "a\0b".to_owned();
    for (request, expected) in [
        (pb::ListSagasRequest { statuses: vec![1, 99], ..nothing() }, "statuses[1]"),
        (pb::ListSagasRequest { definition: bad(), ..nothing() }, "definition"),
        (pb::ListSagasRequest { key: bad(), ..nothing() }, "key"),
        (pb::ListSagasRequest { step: bad(), ..nothing() }, "step"),
        (pb::ListSagasRequest { error: "x".repeat(1_001), ..nothing() }, "error"),
    ] {
        assert_eq!(field(filter(&request)), expected);
    }
}

#[test]
fn an_operators_request_id_is_like_any_other() {
    assert_eq!(field(request_id_in(" ".to_owned())), "request_id");
    assert_eq!(field(request_id_in("x".repeat(129))), "request_id");
    assert_eq!(request_id_in("x".repeat(128)).unwrap().len(), 128);
}
