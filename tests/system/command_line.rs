//! The command `saga`, as a person types it.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use system_tests::{built_binary, free_port_base};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_one_order_confirmed_and_one_compensated() {
    let folder = tempfile::tempdir().unwrap();
    let saga = Saga { folder: folder.path(), port_base: free_port_base() };
    let demo = saga.run(&["demo", "--exit"]).await;
    let (said, told) = (text(&demo.stdout), text(&demo.stderr));
    assert!(demo.status.success(), "{said}\n{told}");
    let all = format!("{said}{told}").to_lowercase();
    for word in ["confirmed", "declined", "cancelled", "reserve-stock undone"] {
        assert!(all.contains(word), "no word of {word}:\n{said}\n{told}");
    }
    let status = saga.run(&["status"]).await;
    assert_eq!(status.status.code(), Some(7), "it still runs: {}", text(&status.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_starts_the_system_orders_looks_and_measures() {
    let folder = tempfile::tempdir().unwrap();
    let saga = Saga { folder: folder.path(), port_base: free_port_base() };
    saga.succeeds(&["up", "--detach"]).await;
    saga.succeeds(&["status"]).await;

    let submitted =
        ["order", "submit", "--sku", "SKU-1", "--quantity", "2", "--watch", "-o", "json"];
    let order = saga.json(&submitted).await;
    let id = find(&order, "orderId").expect("an order id").to_owned();
    // It is confirmed before it is paid and shipped: watching ends with the saga.
    saga.succeeds(&["watch", &id]).await;
    let shown = saga.json(&["show", &id, "-o", "json"]).await;
    assert_eq!(find(&shown, "status"), Some("SAGA_STATUS_COMPLETED"), "{shown}");

    // An order that is watched and cancelled is told by the exit code.
    let declined = ["--payment-method", "tok_declined", "-o", "json"];
    let order = saga.json(&[&["order", "submit", "--sku", "SKU-2"], &declined[..]].concat()).await;
    let id = find(&order, "orderId").expect("an order id").to_owned();
    let watched = saga.run(&["order", "watch", &id]).await;
    assert_eq!(watched.status.code(), Some(7), "{}", text(&watched.stderr));

    // Bad input says what is wrong, and which exit code it has is documented.
    let unknown = saga.run(&["order", "submit", "--sku", "SKU-404", "--quantity", "1"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown.stderr));
    assert!(text(&unknown.stderr).contains("SKU-404"), "{}", text(&unknown.stderr));
    let some = "{\"lines\":[{\"sku\":\"SKU-1\",\"quantity\":1}]}\n\
                {\"lines\":[{\"sku\":\"SKU-404\",\"quantity\":1}]}\n\
                {\"lines\":[{\"sku\":\"SKU-2\",\"quantity\":1}]}\n";
    std::fs::write(folder.path().join("orders.jsonl"), some).unwrap();
    let submitted = saga.run(&["order", "submit", "--file", "orders.jsonl", "-o", "jsonl"]).await;
    assert_eq!(submitted.status.code(), Some(2), "{}", text(&submitted.stderr));
    assert_eq!(text(&submitted.stdout).lines().count(), 2, "{}", text(&submitted.stdout));
    assert!(text(&submitted.stderr).contains("2 orders taken, 1 not taken"));
    let missing = saga.run(&["show", "nobody"]).await;
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing.stderr));

    // It exits with an error when the books do not balance.
    saga.succeeds(&[
        "bench",
        "--rate",
        "20",
        "--duration",
        "3s",
        "--warmup",
        "1s",
        "--decline",
        "10%",
    ])
    .await;
    saga.succeeds(&["down"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_ends_with_its_kafka_or_its_reader_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let saga = Saga { folder: folder.path(), port_base: free_port_base() };
    let state = folder.path().join(".saga/up.json");

    let up = saga.starts(&["up"]);
    until(|| state.exists()).await;
    // Whoever starts it a second time waits until it is ready.
    let joined = saga.json(&["up", "-o", "json"]).await;
    assert_eq!(joined["ready"], true, "{joined}");
    let own_kafka = format!("127.0.0.1:{}", saga.port_base + 5);
    assert_eq!(find(&joined, "kafka"), Some(own_kafka.as_str()), "{joined}");
    let pid = std::fs::read_to_string(folder.path().join(".saga/kafka/kafka.pid")).unwrap();
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    let ended = timeout(PATIENCE, up.wait_with_output()).await.unwrap().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("error: Kafka ended by itself"), "{told}");
    assert!(told.contains("stopping Postgres") && !state.exists(), "{told}");

    // As in `saga up | head -1`.
    let mut up = saga.starts(&["up"]);
    drop(up.stdout.take());
    let ended = timeout(PATIENCE, up.wait_with_output()).await.unwrap().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{told}");
    assert!(told.contains("stopping Postgres") && !state.exists(), "{told}");

    // Ctrl-C while it is waited for takes it along, though it is in the background.
    let up = saga.starts(&["up", "--detach"]);
    until(|| state.exists()).await;
    kill(Pid::from_raw(up.id().unwrap().cast_signed()), Signal::SIGINT).unwrap();
    let ended = timeout(PATIENCE, up.wait_with_output()).await.unwrap().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("stopped while starting") && !state.exists(), "{told}");
}

#[tokio::test]
async fn who_types_nothing_gets_help_whatever_is_exported() {
    let mut command = Command::new(built_binary("saga"));
    let output = command.env("SAGA_OUTPUT", "json").output().await.expect("the command");
    let told = text(&output.stderr);
    assert!(told.contains("Commands:") && told.contains("Examples:"), "{told}");
}

/// How long anything may take that should happen.
const PATIENCE: Duration = Duration::from_secs(180);

async fn until(fact: impl Fn() -> bool) {
    let came_true = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, came_true).await.expect("the fact");
}

struct Saga<'a> {
    folder: &'a Path,
    port_base: u16,
}

impl Saga<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built_binary("saga"));
        command.args(arguments).current_dir(self.folder).env("RUST_BACKTRACE", "0");
        // The others find the system by its folder, and it by its ports when it is said to be gone.
        if matches!(arguments.first(), Some(&("up" | "demo" | "status"))) {
            command.args(["--port-base", &self.port_base.to_string()]);
        }
        command.kill_on_drop(true);
        command
    }

    fn starts(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.expect("the command")
    }

    async fn succeeds(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments).await;
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "saga {}:\n{said}\n{told}", arguments.join(" "));
        output
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.succeeds(arguments).await;
        // A watched order is one object for each change: the last one counts.
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        values.last().expect("some JSON").expect("JSON")
    }
}

/// A failed assertion leaves no system behind.
impl Drop for Saga<'_> {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(built_binary("saga"));
        down.arg("down").current_dir(self.folder).output().ok();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first text of this name, at whatever depth.
fn find<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    match value {
        Value::Object(fields) => {
            let here = fields.get(name).and_then(Value::as_str);
            here.or_else(|| fields.values().find_map(|field| find(field, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
