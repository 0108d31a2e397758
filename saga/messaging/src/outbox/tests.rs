use uuid::Uuid;

use super::{AsItCame, Kept, json};
use crate::{
    Envelope, Message, SagaContext,
    message::{Direction, Headers, Stored, Trace},
};

const KEY: &str = "019a9d2b-0000-7000-8000-00000000beef";

fn command(key: &str) -> Envelope {
    let saga = SagaContext {
        saga_id: Uuid::now_v7(),
        definition: "place-order".to_owned(),
        step: "reserve \"stock\"".to_owned(),
        direction: Direction::Invoke,
        attempt: 2,
        is_start: false,
    };
    Message::command("me", key, "shop".to_owned(), "Reserve".to_owned(), vec![], saga).envelope
}

/// What is published again when the process died before it had published a row.
fn published_again(kept: &str, key: &str) -> Headers {
    serde_json::from_str::<Kept<'_>>(kept).unwrap().into_headers("me", key.as_bytes()).unwrap()
}

#[test]
fn what_the_outbox_keeps_gives_the_same_headers_again() {
    let cause = command(KEY);
    let parked = Message::parked("me", KEY, cause.saga.clone().unwrap(), "nö".to_owned());
    let foreign = Trace { trace_id: 7, parent_id: 8 };
    for envelope in [
        command(KEY),
        command("no uuid"),
        parked.clone().caused_by(&cause).envelope,
        parked.caused_by(&Envelope { trace: foreign, ..cause }).envelope,
        Envelope { trace: foreign, ..command(KEY) },
    ] {
        let kept = json(&Stored::of(&envelope)).unwrap();
        assert_eq!(published_again(&kept, &envelope.key), envelope.to_headers(), "{kept}");
    }
}

/// Also of rows that were written before only the rest was kept.
#[test]
fn headers_of_a_dead_letter_are_kept_as_they_came() {
    let mut headers = Headers::default();
    headers.add("ce_id", b"7");
    headers.add("", b"");
    headers.add("bytes", b"\xc3\x28");
    headers.add("ce_id", b"twice");
    let kept = json(&headers.iter().map(AsItCame::of).collect::<Vec<_>>()).unwrap();
    assert_eq!(kept, r#"[["ce_id","7"],["",""],["bytes",[195,40]],["ce_id","twice"]]"#);
    assert_eq!(published_again(&kept, "any"), headers);
}
