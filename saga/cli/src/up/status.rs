//! Whether each part of the system is well.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::{
    background::log_path,
    database::address_of,
    health::{ASK_KAFKA, ASK_POSTGRES, Health, answers, check},
    state::{Found, Running, look},
};
use crate::{
    advice::here,
    args::Global,
    clients::Clients,
    failure::Failure,
    output::{lines, table, talk},
    units,
};

/// One part of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    name: String,
    /// `serving`, `not serving` or `down`.
    health: &'static str,
    address: String,
    /// Of the process that runs it, as far as that is known.
    version: Option<String>,
    uptime_seconds: Option<u64>,
    detail: String,
}

/// # Errors
/// When a part is not well.
pub(crate) async fn status(global: &Global, clients: &Clients) -> Result<(), Failure> {
    let running = match look(&global.data_dir) {
        Found::Running(running) => Some(*running),
        Found::Stale(running) => {
            talk(&format!("process {} has ended without clearing up", running.pid));
            None
        }
        Found::Nothing | Found::Held => None,
    };
    let components = components(running.as_ref(), clients).await;
    if global.output == crate::output::Format::Jsonl {
        for component in &components {
            global.output.value(component, String::new)?;
        }
    } else {
        global.output.value(&components, || as_table(&components))?;
    }
    if let Some(running) = running.as_ref().filter(|running| !running.ready) {
        let doing = if running.stopping { "stopping" } else { "starting" };
        return Err(Failure::check(format!("process {} is {doing} just now", running.pid))
            .next(format!("{} again in a moment", here("status"))));
    }
    let down: Vec<_> = components.iter().filter(|component| component.health != SERVING).collect();
    if down.is_empty() {
        return Ok(());
    }
    let counted = format!("{} of {} are not well", down.len(), components.len());
    if down.len() < components.len() {
        let names: Vec<_> = down.iter().map(|component| component.name.as_str()).collect();
        return Err(Failure::check(format!("{counted}: {}", names.join(", "))));
    }
    let failure = Failure::check(counted).next(format!("start the system with {}", here("up")));
    let log = log_path(&global.data_dir);
    let told = format!("what ran in the background last wrote {}", log.display());
    Err(if running.is_none() && log.exists() { failure.why(told) } else { failure })
}

const SERVING: &str = "serving";

async fn components(running: Option<&Running>, clients: &Clients) -> Vec<Component> {
    // Other addresses than those of the system that runs here are of another process.
    let ours = running.filter(|running| running.addresses == *clients.addresses());
    let version = ours.map(|running| running.version.clone());
    let uptime_seconds = ours.map(|running| {
        (OffsetDateTime::now_utc() - running.started_at).whole_seconds().unsigned_abs()
    });
    let component = |name: &str, address: &str, health: Health| {
        let (health, detail) = match health {
            Health::Serving => (SERVING, String::new()),
            Health::NotServing => ("not serving", String::new()),
            Health::Down(detail) => ("down", detail),
        };
        let (name, address) = (name.to_owned(), address.to_owned());
        Component { name, health, address, version: version.clone(), uptime_seconds, detail }
    };
    let services = clients
        .addresses()
        .named()
        .map(async |(name, address): (&str, &str)| component(name, address, check(address).await));
    let mut components = futures::future::join_all(services).await;
    if let Some(running) = ours {
        let postgres = address_of(&running.database_url);
        let servers =
            [("Kafka", running.kafka.as_str(), ASK_KAFKA), ("Postgres", &postgres, ASK_POSTGRES)];
        // It is not known before it is started.
        for (name, address, question) in servers.into_iter().filter(|server| !server.1.is_empty()) {
            let answered = answers(address, question).await;
            let health = answered.map_or_else(Health::Down, |()| Health::Serving);
            let server = component(name, address, health);
            components.push(Component { version: None, uptime_seconds: None, ..server });
        }
    }
    components
}

fn as_table(components: &[Component]) -> String {
    let mut table = table(&["COMPONENT", "HEALTH", "ADDRESS", "VERSION", "UP FOR", ""]);
    for component in components {
        let uptime = component.uptime_seconds.map(|s| units::brief(Duration::from_secs(s)));
        table.add_row([
            &component.name,
            component.health,
            &component.address,
            component.version.as_deref().unwrap_or("-"),
            uptime.as_deref().unwrap_or("-"),
            &component.detail,
        ]);
    }
    lines(&table)
}
