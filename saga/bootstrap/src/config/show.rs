//! `config show`: every setting as a line that the settings file could hold, and its source; or as
//! JSON.

use std::{collections::BTreeSet, ffi::OsStr};

use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use serde_json::json;

use super::{FILE_FLAG, layers::Layers};
use crate::ServerUrl;

/// A setting, its value or values, and where it came from. What is not set has no value.
#[derive(Debug, serde::Serialize)]
struct Setting<'a> {
    name: &'a str,
    values: Vec<String>,
    source: String,
}

pub(super) fn text(command: &Command, matches: &ArgMatches, layers: &Layers) -> String {
    let settings = settings(command, matches, layers);
    match form(command, matches).as_deref() {
        Some("json") => format!("{:#}\n", json!(settings)),
        Some("jsonl") => settings.iter().map(|setting| format!("{}\n", json!(setting))).collect(),
        _ => as_toml_file(&settings),
    }
}

/// What `--output` says, where the command has that flag.
fn form(command: &Command, matches: &ArgMatches) -> Option<String> {
    let has_flag = command.get_arguments().any(|arg| arg.get_id() == FORM_FLAG);
    let given = if has_flag { matches.get_raw(FORM_FLAG) } else { None };
    Some(given?.next()?.to_string_lossy().into_owned())
}

const FORM_FLAG: &str = "output";

fn settings<'a>(command: &'a Command, matches: &ArgMatches, layers: &Layers) -> Vec<Setting<'a>> {
    let mut settings = Vec::new();
    let mut shown = BTreeSet::from(["help", "version", FILE_FLAG]);
    for (arg, long) in flags(command) {
        if shown.insert(long) {
            settings.push(own(arg, long, matches, layers));
        }
    }
    for subcommand in command.get_subcommands() {
        add_settings(subcommand, layers, &mut shown, &mut settings);
    }
    settings
}

fn as_toml_file(settings: &[Setting<'_>]) -> String {
    let lines: Vec<_> =
        settings.iter().map(|setting| (as_toml_line(setting), &setting.source)).collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    lines.iter().map(|(line, source)| format!("{line:width$}  # {source}\n")).collect()
}

fn flags(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    command.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?)))
}

/// Of a subcommand's flags those that are settings: they have a variable, or the file names them.
fn add_settings<'a>(
    command: &'a Command,
    layers: &Layers,
    shown: &mut BTreeSet<&'a str>,
    settings: &mut Vec<Setting<'a>>,
) {
    for (arg, long) in flags(command) {
        let variable = arg.get_env().and_then(OsStr::to_str).unwrap_or_default();
        let is_setting = variable.starts_with("SAGA_") || layers.origin(long).is_some();
        if is_setting && shown.insert(long) {
            // The layers are its defaults by now; its flag cannot have been given here.
            let values = shown_values(long, arg.get_default_values().iter().map(AsRef::as_ref));
            let source = source_below_flags(long, &values, layers);
            settings.push(Setting { name: long, values, source });
        }
    }
    for subcommand in command.get_subcommands() {
        add_settings(subcommand, layers, shown, settings);
    }
}

fn own<'a>(arg: &Arg, long: &'a str, matches: &ArgMatches, layers: &Layers) -> Setting<'a> {
    let id = arg.get_id().as_str();
    let values = shown_values(long, matches.get_raw(id).into_iter().flatten());
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(_) | None => source_below_flags(long, &values, layers),
    };
    Setting { name: long, values, source }
}

/// Where a value came from that no flag gave.
fn source_below_flags(long: &str, values: &[String], layers: &Layers) -> String {
    match layers.origin(long) {
        Some(origin) => origin.to_string(),
        None if values.is_empty() => "not set".to_owned(),
        None => "default".to_owned(),
    }
}

fn shown_values<'a>(long: &str, values: impl Iterator<Item = &'a OsStr>) -> Vec<String> {
    values.map(|value| without_secrets(long, value)).collect()
}

fn as_toml_line(Setting { name, values, .. }: &Setting<'_>) -> String {
    let values: Vec<_> = values.iter().map(|value| as_toml(value)).collect();
    match values.as_slice() {
        [] => format!("# {name}"),
        [value] => format!("{name} = {value}"),
        values => format!("{name} = [{}]", values.join(", ")),
    }
}

fn as_toml(value: &str) -> String {
    let is_plain = value == "true" || value == "false" || value.parse::<i64>().is_ok();
    if is_plain { value.to_owned() } else { toml::Value::from(value).to_string() }
}

/// The value with passwords, tokens and the like blotted out.
pub(super) fn without_secrets(long: &str, value: &OsStr) -> String {
    let value = value.to_string_lossy();
    if SECRET_WORDS.iter().any(|word| long.contains(word)) {
        return MASK.to_owned();
    }
    let Some(url) = ServerUrl::parse(&value) else { return value.into_owned() };
    let address = url.masked(MASK);
    let Some(query) = url.query else { return address };
    let query = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET_WORDS.iter().any(|word| name.contains(word)) => {
            format!("{name}={MASK}")
        }
        _ => pair.to_owned(),
    });
    format!("{address}?{}", query.collect::<Vec<_>>().join("&"))
}

const MASK: &str = "***";
const SECRET_WORDS: [&str; 3] = ["password", "secret", "token"];
