//! What the processes tell about one order: its trace, their metrics and their logs.

use std::collections::BTreeSet;

use proto::order::OrderStatus;
use serde_json::Value;
use system_tests::{Collector, Metrics, Order, Service, Shop, Site, Span};
use tokio::time::{Duration, Instant, sleep};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_traced_counted_and_logged() {
    let collector = Collector::default();
    let endpoint = collector.listen().await;
    let told = ["--log=debug", "--log-format=json", &format!("--otlp-endpoint={endpoint}")];
    let arguments = told.map(str::to_owned).to_vec();
    let shop = Shop::open_at("telling", Site { arguments, ..Site::default() }).await;

    let order_id = shop.place(Order::of("SKU-1", 1)).await;
    assert_eq!(shop.decided(&order_id).await.status(), OrderStatus::Confirmed);
    let saga_id = shop.ended(&order_id).await.saga.unwrap().saga_id;
    tokio::join!(
        it_is_one_trace_through_all_services(&collector, &order_id),
        it_is_counted_by_all_services(&shop),
        the_coordinator_logs_its_saga(&shop, &saga_id),
    );
}

async fn it_is_one_trace_through_all_services(collector: &Collector, order_id: &str) {
    let trace_id = Uuid::parse_str(order_id).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let trace = loop {
        let trace = collector.trace(trace_id.as_bytes());
        if is_whole(&trace) {
            break trace;
        }
        assert!(Instant::now() < deadline, "{trace:#?}");
        sleep(Duration::from_millis(20)).await;
    };
    let services: BTreeSet<&str> = trace.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services, Service::ALL.map(Service::binary).into());
    let first: Vec<&Span> = trace.iter().filter(|span| span.parent_id.is_empty()).collect();
    assert!(matches!(first.as_slice(), [span] if span.service == "order-service"), "{first:?}");
}

/// Spans come when each process sends them. The saga asks five times, or more often where it has to
/// wait, and each span has a parent.
fn is_whole(trace: &[Span]) -> bool {
    let answers = trace.iter().filter(|span| span.name == "process saga.replies.v1");
    let ids: BTreeSet<&[u8]> = trace.iter().map(|span| span.id.as_slice()).collect();
    let has_known_parent =
        |span: &Span| span.parent_id.is_empty() || ids.contains(span.parent_id.as_slice());
    answers.count() >= 5 && trace.iter().all(has_known_parent)
}

async fn it_is_counted_by_all_services(shop: &Shop) {
    // The backlog is looked at now and then.
    let all = |metrics: &Metrics| metrics.sum("outbox_backlog") == Some(0.0);
    let mut of_all = Vec::new();
    for service in Service::ALL {
        of_all.push(shop.metrics_that(service, all).await);
    }
    for metrics in &of_all {
        assert!(metrics.sum("consumer_records_total") >= Some(1.0), "{metrics:?}");
        assert!(metrics.sum("consumer_transaction_seconds") >= Some(1.0), "{metrics:?}");
    }
    let (sagas, orders) = (&of_all[0], &of_all[1]);
    assert_eq!(sagas.sum("saga_started_total"), Some(1.0), "{sagas:?}");
    let completed = sagas.sum_where("saga_ended_total", r#"status="completed""#);
    assert_eq!(completed, Some(1.0), "{sagas:?}");
    assert_eq!(orders.sum("orders_placed_total"), Some(1.0), "{orders:?}");
    let confirmed = orders.sum_where("orders_decided_total", r#"status="confirmed""#);
    assert_eq!(confirmed, Some(1.0), "{orders:?}");

    for name in documented_metrics() {
        let is_there = of_all.iter().any(|metrics| metrics.sum(name).is_some());
        assert!(is_there || WITH_ITS_FIRST_EVENT.contains(&name), "{name} is in no /metrics");
    }
}

/// What has not happened is not counted yet.
const WITH_ITS_FIRST_EVENT: [&str; 15] = [
    "consumer_fetching_switched_total",
    "consumer_rejoined_total",
    "saga_stuck_total",
    "saga_commands_resent_total",
    "saga_answers_left_total",
    "saga_answers_repeated_total",
    "saga_starts_repeated_total",
    "saga_forgotten_total",
    "events_announced_again_total",
    "gateway_calls_total",
    "outbox_publish_failures_total",
    "trace_spans_dropped_total",
    "commands_late_total",
    "consumer_batch_failures_total",
    "dead_letters_total",
];

/// The names in the first column of the table "What to watch".
fn documented_metrics() -> Vec<&'static str> {
    let page = include_str!("../../docs/operating.md");
    let section = page.split("\n## ").find(|section| section.starts_with("What to watch")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split('|').next().unwrap_or_default());
    let names = cells.flat_map(|cell| cell.split(", ")).map(|name| {
        let name = name.trim_matches(['`', ' ']);
        name.split('{').next().unwrap_or_default()
    });
    let names: Vec<&str> = names.collect();
    assert!(names.len() >= 8, "{names:?}");
    names
}

async fn the_coordinator_logs_its_saga(shop: &Shop, saga_id: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = shop.log(Service::Coordinator);
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let said: Vec<String> = lines
            .filter(|line| line["saga.id"] == saga_id)
            .filter_map(|line| line["message"].as_str().map(str::to_owned))
            .filter(|said| !said.contains("sent again"))
            .collect();
        if said == ["began", "ended"] {
            return;
        }
        assert!(Instant::now() < deadline, "{said:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
