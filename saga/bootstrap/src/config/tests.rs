use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;

use super::{OF_THE_COMMAND, Resolved, resolve};
use crate::Common;

#[derive(Debug, Parser)]
#[command(name = "order-service")]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[arg(long, env = "SAGA_DATABASE_URL")]
    database_url: String,
    #[arg(long, env = "SAGA_PEERS", value_delimiter = ',')]
    peers: Vec<String>,
}

const DATABASE: &str = "--database-url=postgres://app:s3cret@db/order";

fn outcome(args: &[&str], env: &[(&str, &str)]) -> Result<Resolved<Settings>, String> {
    let args = std::iter::once("order-service").chain(args.iter().copied());
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    resolve(args.map(OsString::from).collect(), env).map_err(|error| error.to_string())
}

fn settings(args: &[&str], env: &[(&str, &str)]) -> Settings {
    match outcome(args, env).unwrap() {
        Resolved::Settings(settings) => settings,
        Resolved::Shown(text) => panic!("shown instead of parsed: {text}"),
        Resolved::Healthcheck(listen) => panic!("asked {listen} instead of parsed"),
    }
}

fn shown(args: &[&str], env: &[(&str, &str)]) -> String {
    match outcome(args, env).unwrap() {
        Resolved::Shown(text) => text,
        Resolved::Settings(settings) => panic!("parsed instead of shown: {settings:?}"),
        Resolved::Healthcheck(listen) => panic!("asked {listen} instead of shown"),
    }
}

fn refusal(args: &[&str], env: &[(&str, &str)]) -> String {
    outcome(args, env).map(|_| ()).unwrap_err()
}

/// A settings file that lives as long as the test.
struct File(PathBuf);

impl File {
    fn with(text: &str) -> Self {
        let name = std::thread::current().name().unwrap().replace("::", "-");
        let path = std::env::temp_dir().join(format!("{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn flag(&self) -> String {
        format!("--config={}", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_flag_stands_over_a_variable_over_the_file_over_the_default() {
    let file = File::with("partitions = 7\nkafka = 'file:1'\ninstance = 'file'");
    let env = [("SAGA_PARTITIONS", "8"), ("SAGA_KAFKA", "env:1"), ("HOME", "/nowhere")];

    let settings = settings(&[DATABASE, &file.flag(), "--partitions", "9"], &env);

    assert_eq!(settings.common.partitions, 9);
    assert_eq!(settings.common.kafka, "env:1");
    assert_eq!(settings.common.instance, "file");
    assert_eq!(settings.common.shutdown_deadline, Duration::from_secs(10));
}

#[test]
fn the_file_gives_required_settings_switches_and_lists() {
    let file = File::with(
        "database-url = 'postgres://db/order'\nallow-unsafe-postgres = true\npeers = ['a', 'b']\n\
         otlp-endpoint = 'http://collector:4317'\nshutdown-deadline = 2.5",
    );
    let path = file.0.to_str().unwrap();

    let settings = settings(&[], &[("SAGA_CONFIG", path)]);

    assert_eq!(settings.database_url, "postgres://db/order");
    assert!(settings.common.allow_unsafe_postgres);
    assert_eq!(settings.peers, ["a", "b"]);
    assert_eq!(settings.common.otlp_endpoint.as_deref(), Some("http://collector:4317"));
    assert_eq!(settings.common.shutdown_deadline, Duration::from_millis(2500));
}

#[test]
fn a_switch_and_a_list_can_be_variables() {
    for (text, expected) in [("true", true), ("1", true), ("no", false)] {
        let env = [("SAGA_ALLOW_UNSAFE_POSTGRES", text), ("SAGA_PEERS", "a,b")];
        let settings = settings(&[DATABASE], &env);
        assert_eq!(settings.common.allow_unsafe_postgres, expected);
        assert_eq!(settings.peers, ["a", "b"]);
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let env = [("SAGA_KAFKA", ""), ("SAGA_OTLP_ENDPOINT", ""), ("SAGA_CONFIG", "")];
    let settings = settings(&[DATABASE], &env);
    assert_eq!(settings.common.kafka, "127.0.0.1:9092");
    assert_eq!(settings.common.otlp_endpoint, None);
}

#[test]
fn an_unknown_variable_is_refused_with_the_one_that_was_meant() {
    let refusal = refusal(&[DATABASE], &[("SAGA_PARTITION", "8")]);
    assert!(
        refusal.contains("unknown variable 'SAGA_PARTITION'; did you mean 'SAGA_PARTITIONS'?"),
        "{refusal}"
    );
    assert!(refusal.contains("SAGA_DATABASE_URL"), "{refusal}");
}

#[test]
fn what_is_exported_for_the_command_is_not_refused_unless_it_is_misspelt() {
    for name in OF_THE_COMMAND {
        settings(&[DATABASE], &[(name, "anything")]);
    }
    let refusal = refusal(&[DATABASE], &[("SAGA_OUTPUTS", "json")]);
    assert!(
        refusal.contains("unknown variable 'SAGA_OUTPUTS'; did you mean 'SAGA_OUTPUT'?"),
        "{refusal}"
    );
}

#[test]
fn what_kubernetes_says_about_a_service_is_no_setting() {
    let links = [
        ("SAGA_COORDINATOR_SERVICE_HOST", "10.0.0.1"),
        ("SAGA_COORDINATOR_SERVICE_PORT", "7100"),
        ("SAGA_COORDINATOR_SERVICE_PORT_GRPC", "7100"),
        ("SAGA_COORDINATOR_PORT", "tcp://10.0.0.1:7100"),
        ("SAGA_COORDINATOR_PORT_7100_TCP", "tcp://10.0.0.1:7100"),
        ("SAGA_COORDINATOR_PORT_7100_TCP_PROTO", "tcp"),
        ("SAGA_COORDINATOR_PORT_7100_TCP_PORT", "7100"),
        ("SAGA_COORDINATOR_PORT_7100_TCP_ADDR", "10.0.0.1"),
    ];
    settings(&[DATABASE], &links);
    for misspelt in ["SAGA_LISTEN_PORT", "SAGA_PORT_NAME", "SAGA_SERVICE"] {
        let refusal = refusal(&[DATABASE], &[(misspelt, "7100")]);
        assert!(refusal.contains(misspelt), "{refusal}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_file_and_the_known_ones() {
    let file = File::with("log_format = 'json'");
    let refusal = refusal(&[DATABASE, &file.flag()], &[]);
    assert!(refusal.contains("unknown key 'log_format'; did you mean 'log-format'?"), "{refusal}");
    assert!(refusal.contains(file.0.to_str().unwrap()), "{refusal}");
    assert!(refusal.contains("known: allow-unsafe-postgres, database-url"), "{refusal}");
}

#[test]
fn a_bad_value_names_its_source() {
    let from_variable = refusal(&[DATABASE], &[("SAGA_PARTITIONS", "none")]);
    assert!(from_variable.contains("'none'"), "{from_variable}");
    assert!(from_variable.contains("set by variable SAGA_PARTITIONS"), "{from_variable}");

    let file = File::with("log-format = 'xml'");
    let from_file = refusal(&[DATABASE, &file.flag()], &[]);
    assert!(from_file.contains("set by file"), "{from_file}");
    assert!(from_file.contains("[possible values: text, json]"), "{from_file}");
}

#[test]
fn a_file_that_is_missing_or_broken_is_refused() {
    let missing = refusal(&[DATABASE, "--config", "/nowhere/saga.toml"], &[]);
    assert!(missing.contains("cannot read the settings file '/nowhere/saga.toml'"), "{missing}");

    let broken = File::with("kafka = ");
    let broken = refusal(&[DATABASE, &broken.flag()], &[]);
    assert!(broken.contains("is not TOML"), "{broken}");
}

#[test]
fn a_file_that_is_not_flat_is_refused() {
    let nested = File::with("[kafka]\nbrokers = 'a'");
    let nested = refusal(&[DATABASE, &nested.flag()], &[]);
    assert!(nested.contains("key 'kafka' is a table"), "{nested}");
}

#[test]
fn config_show_prints_values_with_their_source_and_no_secrets() {
    let file = File::with("instance = 'a'\notlp-endpoint = 'http://u:p@w@collector?token=x&y=z'");
    let args = [DATABASE, &file.flag(), "config", "show"];

    let shown = shown(&args, &[("SAGA_PARTITIONS", "8")]);

    let lines: Vec<_> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let path = file.0.display();
    for expected in [
        "kafka = \"127.0.0.1:9092\" # default".to_owned(),
        "partitions = 8 # variable SAGA_PARTITIONS".to_owned(),
        format!("instance = \"a\" # file {path}"),
        format!("otlp-endpoint = \"http://u:***@collector?token=***&y=z\" # file {path}"),
        "database-url = \"postgres://app:***@db/order\" # flag".to_owned(),
        "# peers # not set".to_owned(),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in\n{shown}");
    }
}

#[test]
fn who_asks_for_help_gets_it_whatever_else_is_wrong() {
    let wrong = [("SAGA_NONSENSE", "1")];
    assert!(refusal(&["--help"], &wrong).contains("--database-url"));
    assert!(refusal(&[DATABASE], &wrong).contains("SAGA_NONSENSE"));
}

#[test]
fn config_show_is_json_where_that_is_asked_for() {
    let shown = |form: &str| {
        let args = ["saga", "--output", form, "config", "show"].map(OsString::from).to_vec();
        match resolve::<WithCommands>(args, []).unwrap() {
            Resolved::Shown(text) => text,
            Resolved::Settings(_) | Resolved::Healthcheck(_) => panic!("not shown"),
        }
    };
    let partitions = serde_json::json!(
        { "name": "partitions", "values": ["4"], "source": "default" }
    );
    let all: Vec<serde_json::Value> = serde_json::from_str(&shown("json")).unwrap();
    assert!(all.contains(&partitions), "{all:?}");
    let lines = shown("jsonl");
    let mut each = lines.lines().map(serde_json::from_str::<serde_json::Value>);
    assert!(each.any(|setting| setting.unwrap() == partitions), "{lines}");
}

#[test]
fn config_show_works_while_a_required_setting_is_missing() {
    assert!(shown(&["config", "show"], &[]).contains("# database-url"));
    assert!(refusal(&[], &[]).contains("--database-url"));
}

/// A command with commands, of which one has settings.
#[derive(Debug, Parser)]
#[command(name = "saga")]
struct WithCommands {
    #[arg(long, global = true, env = "SAGA_OUTPUT", default_value = "table")]
    output: String,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, clap::Subcommand)]
enum Commands {
    Up {
        #[arg(long, env = "SAGA_DATABASE_URL")]
        database_url: Option<String>,
        #[arg(long, env = "SAGA_PARTITIONS", default_value_t = 4)]
        partitions: i32,
        #[arg(long)]
        detach: bool,
        #[arg(long)]
        limit: Option<u32>,
    },
}

#[test]
fn config_show_prints_the_settings_of_subcommands_too() {
    let file = File::with("limit = 7");
    let args = ["saga", &file.flag(), "config", "show"].map(OsString::from).to_vec();
    let env = [("SAGA_DATABASE_URL", "postgres://app:s3cret@db/order")];
    let env = env.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let Resolved::Shown(shown) = resolve::<WithCommands>(args, env).unwrap() else {
        panic!("not shown")
    };
    let lines: Vec<_> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let path = file.0.display();
    for expected in [
        "output = \"table\" # default".to_owned(),
        "partitions = 4 # default".to_owned(),
        "database-url = \"postgres://app:***@db/order\" # variable SAGA_DATABASE_URL".to_owned(),
        format!("limit = 7 # file {path}"),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in\n{shown}");
    }
    assert!(!shown.contains("detach"), "{shown}");
}

/// A process that listens.
#[derive(Debug, Parser)]
struct Listening {
    #[arg(long, env = "SAGA_LISTEN", default_value = "127.0.0.1:7101")]
    listen: SocketAddr,
    #[arg(long)]
    required: String,
}

#[test]
fn a_healthcheck_asks_where_the_same_settings_listen() {
    let asked = |args: &[&str], env: &[(&str, &str)]| {
        let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        match resolve::<Listening>(args.iter().map(OsString::from).collect(), env).unwrap() {
            Resolved::Healthcheck(listen) => listen.to_string(),
            Resolved::Settings(_) | Resolved::Shown(_) => panic!("nobody is asked"),
        }
    };
    assert_eq!(asked(&["service", "healthcheck"], &[]), "127.0.0.1:7101");
    assert_eq!(asked(&["service", "healthcheck"], &[("SAGA_LISTEN", "0.0.0.0:80")]), "0.0.0.0:80");
    let env = [("SAGA_LISTEN", "0.0.0.0:80")];
    assert_eq!(asked(&["service", "--listen=[::1]:81", "healthcheck"], &env), "[::1]:81");
    assert_eq!(asked(&["service", "healthcheck", "--listen=[::1]:81"], &env), "[::1]:81");
}

#[test]
fn only_what_listens_has_a_healthcheck() {
    assert!(refusal(&[DATABASE, "healthcheck"], &[]).contains("healthcheck"));
}
