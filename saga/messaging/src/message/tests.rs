use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Direction, Envelope, Headers, Message, Outcome, SagaContext, Stopwatch, Trace};

const KEY: &str = "019a9d2b-0000-7000-8000-00000000beef";

fn saga() -> SagaContext {
    SagaContext {
        saga_id: Uuid::now_v7(),
        definition: "place-order".to_owned(),
        step: "reserve-stock".to_owned(),
        direction: Direction::Compensate,
        attempt: 3,
        is_start: true,
    }
}

fn envelope() -> Envelope {
    let at = |micros: i128| {
        OffsetDateTime::from_unix_timestamp_nanos(1_790_000_000_000_000_000 + micros * 1_000)
            .unwrap()
    };
    Envelope {
        causation_id: Some(Uuid::now_v7()),
        saga: Some(saga()),
        outcome: Some(Outcome::Refused("nö".to_owned())),
        deadline: Some(at(4)),
        stopwatch: Some(Stopwatch { received_at: at(1), started_at: at(2), finished_at: at(3) }),
        ..Envelope::new("inventory-service", "shop.ReserveStock".to_owned(), KEY)
    }
}

fn headers_of(envelope: &Envelope) -> Vec<(String, Vec<u8>)> {
    let headers = envelope.to_headers();
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn read(headers: &[(String, Vec<u8>)]) -> Result<Envelope, String> {
    let mut as_they_came = Headers::default();
    headers.iter().for_each(|(name, value)| as_they_came.add(name, value));
    Envelope::from_headers(KEY, &as_they_came).map_err(|bad| bad.to_string())
}

/// The envelope above, with another value in that header or without it.
fn read_with(name: &str, value: Option<&[u8]>) -> Result<Envelope, String> {
    let mut headers = headers_of(&envelope());
    headers.retain(|(key, _)| key != name);
    headers.extend(value.map(|value| (name.to_owned(), value.to_vec())));
    read(&headers)
}

/// The envelope above, with another value of that field in the header `saga` or without it.
fn read_about(field: &str, value: Option<Value>) -> Result<Envelope, String> {
    let headers = headers_of(&envelope());
    let (_, said) = headers.iter().find(|(name, _)| name == "saga").unwrap();
    let mut about: Map<String, Value> = serde_json::from_slice(said).unwrap();
    assert!(about.remove(field).is_some(), "{about:?}");
    about.extend(value.map(|value| (field.to_owned(), value)));
    read_with("saga", Some(&serde_json::to_vec(&about).unwrap()))
}

#[test]
fn headers_say_what_the_envelope_said() {
    let caused = Envelope { saga: None, outcome: None, ..envelope() };
    let plain = Envelope { causation_id: None, deadline: None, stopwatch: None, ..caused.clone() };
    let succeeded = Envelope { outcome: Some(Outcome::Succeeded), ..envelope() };
    let parked = Envelope { outcome: Some(Outcome::Parked(String::new())), ..envelope() };
    for envelope in [envelope(), caused, plain, succeeded, parked] {
        assert_eq!(read(&headers_of(&envelope)), Ok(envelope));
    }
}

#[test]
fn headers_are_cloud_events_in_binary_mode() {
    let id = Uuid::parse_str("01a0c0de-0005-7000-8000-000000000007").unwrap();
    let envelope = Envelope { id, ..envelope() };
    let headers = headers_of(&envelope);
    let value = |name: &str| {
        let (_, value) = headers.iter().find(|(key, _)| key == name).unwrap();
        std::str::from_utf8(value).unwrap().to_owned()
    };
    assert_eq!(value("ce_specversion"), "1.0");
    assert_eq!(value("ce_id"), envelope.id.to_string());
    assert_eq!(value("ce_type"), "shop.ReserveStock");
    assert_eq!(value("ce_source"), "inventory-service");
    assert_eq!(value("ce_time"), "2026-09-20T22:09:29.605Z");
    assert_eq!(value("ce_subject"), KEY);
    assert_eq!(value("content-type"), "application/protobuf");
    // One order is one trace.
    assert_eq!(value("traceparent"), "00-019a9d2b00007000800000000000beef-800000000000beef-01");
    // All that is ours is one header.
    let about = json!({
        "id": envelope.saga.as_ref().unwrap().saga_id,
        "definition": "place-order",
        "step": "reserve-stock",
        "direction": "compensate",
        "attempt": 3,
        "start": true,
        "outcome": {"refused": "nö"},
        "cause": envelope.causation_id,
        "deadline": "2026-09-21T14:13:20.000004Z",
        "stopwatch": "1790000000000001,1790000000000002,1790000000000003",
    });
    assert_eq!(serde_json::from_str::<Value>(&value("saga")).unwrap(), about);
    assert_eq!(headers.len(), 9);
}

#[test]
fn headers_that_are_missing_or_malformed_are_named() {
    for name in ["ce_id", "ce_type", "ce_source"] {
        assert_eq!(read_with(name, None), Err(format!("the record has no header `{name}`")));
        // What is not text is not there.
        let not_text = Some(b"\xc3\x28".as_slice());
        assert_eq!(read_with(name, not_text), Err(format!("the record has no header `{name}`")));
    }
    assert_eq!(read_with("ce_id", Some(b"7")), Err("the header `ce_id` cannot be `7`".to_owned()));
}

#[test]
fn a_header_saga_that_is_incomplete_or_malformed_says_what_is_wrong() {
    let without = |field: &str| read_about(field, None).unwrap_err();
    for field in ["definition", "step", "direction", "attempt"] {
        assert_eq!(without(field), format!("the header `saga` does not say its `{field}`"));
    }
    for (field, value, wrong) in [
        ("id", json!(""), "cannot be read: UUID parsing failed"),
        ("direction", json!("up"), "cannot be read: unknown variant `up`"),
        ("attempt", json!(0), "cannot have the attempt 0"),
        ("attempt", json!(-1), "cannot be read: invalid value: integer `-1`"),
        ("attempt", json!(2_147_483_648_u32), "cannot have the attempt 2147483648"),
        ("outcome", json!("perhaps"), "cannot be read: unknown variant `perhaps`"),
        ("outcome", json!("refused"), "cannot be read: invalid type: unit variant"),
        ("cause", json!("that one"), "cannot be read: UUID parsing failed"),
        ("deadline", json!("soon"), "cannot be read: "),
    ] {
        let said = read_about(field, Some(value)).unwrap_err();
        assert!(said.starts_with(&format!("the header `saga` {wrong}")), "{field}: {said}");
    }
    let said = read_with("saga", Some(b"")).unwrap_err();
    assert!(said.starts_with("the header `saga` cannot be read: EOF"), "{said}");
}

#[test]
fn what_only_serves_to_look_at_never_makes_a_message_unreadable() {
    let of_the_key =
        Trace { trace_id: 0x019a9d2b00007000800000000000beef, parent_id: 0x800000000000beef };
    for (name, value) in [
        ("traceparent", None),
        ("traceparent", Some("00-xyz-1-01")),
        ("traceparent", Some("00-+19a9d2b00007000800000000000beef-800000000000beef-01")),
        ("traceparent", Some("00-019a9d2b00007000800000000000beef")),
    ] {
        assert_eq!(read_with(name, value.map(str::as_bytes)).unwrap().trace, of_the_key);
    }
    for value in
        [None, Some("1,2"), Some("a,b,c"), Some("99999999999999999999999999999999999999,1,1")]
    {
        let read = read_about("stopwatch", value.map(Value::from));
        assert_eq!(read.unwrap().stopwatch, None);
    }
}

#[test]
fn an_effect_continues_the_trace_of_its_cause() {
    let cause = envelope();
    let reply = Message::parked("me", KEY, saga(), "why".to_owned()).caused_by(&cause);
    assert_eq!(reply.topic, "saga.replies.v1");
    assert_eq!(reply.envelope.causation_id, Some(cause.id));
    assert_eq!(reply.envelope.trace.trace_id, cause.trace.trace_id);
    assert_eq!(reply.envelope.trace.parent_id, super::span_id(cause.id));
}
