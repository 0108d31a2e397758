//! `config show`: every setting as a line that the settings file could hold, and its source.

use std::{collections::BTreeSet, ffi::OsStr};

use clap::{Arg, ArgMatches, Command, parser::ValueSource};

use super::{FILE_FLAG, layers::Layers};
use crate::ServerUrl;

pub(super) fn text(command: &Command, matches: &ArgMatches, layers: &Layers) -> String {
    let mut lines = Vec::new();
    let mut shown = BTreeSet::from(["help", "version", FILE_FLAG]);
    for (arg, long) in flags(command) {
        if shown.insert(long) {
            lines.push(line(arg, long, matches, layers));
        }
    }
    for subcommand in command.get_subcommands() {
        add_settings(subcommand, layers, &mut shown, &mut lines);
    }
    let width = lines.iter().map(|(setting, _)| setting.len()).max().unwrap_or_default();
    lines.iter().map(|(setting, source)| format!("{setting:width$}  # {source}\n")).collect()
}

fn flags(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    command.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?)))
}

/// Of a subcommand's flags those that are settings: they have a variable, or the file names them.
fn add_settings<'a>(
    command: &'a Command,
    layers: &Layers,
    shown: &mut BTreeSet<&'a str>,
    lines: &mut Vec<(String, String)>,
) {
    for (arg, long) in flags(command) {
        let variable = arg.get_env().and_then(OsStr::to_str).unwrap_or_default();
        let is_setting = variable.starts_with("SAGA_") || layers.origin(long).is_some();
        if is_setting && shown.insert(long) {
            // The layers are its defaults by now; its flag cannot have been given here.
            let values = arg.get_default_values().iter().map(AsRef::as_ref);
            let source = match (layers.origin(long), arg.get_default_values()) {
                (Some(origin), _) => origin.to_string(),
                (None, []) => "not set".to_owned(),
                (None, _) => "default".to_owned(),
            };
            lines.push((setting(long, values), source));
        }
    }
    for subcommand in command.get_subcommands() {
        add_settings(subcommand, layers, shown, lines);
    }
}

fn setting<'a>(long: &str, values: impl Iterator<Item = &'a OsStr>) -> String {
    let values: Vec<_> = values.map(|value| as_toml(&without_secrets(long, value))).collect();
    match values.as_slice() {
        [] => format!("# {long}"),
        [value] => format!("{long} = {value}"),
        values => format!("{long} = [{}]", values.join(", ")),
    }
}

fn line(arg: &Arg, long: &str, matches: &ArgMatches, layers: &Layers) -> (String, String) {
    let id = arg.get_id().as_str();
    let setting = setting(long, matches.get_raw(id).into_iter().flatten());
    let source = match (matches.value_source(id), layers.origin(long)) {
        (Some(ValueSource::CommandLine), _) => "flag".to_owned(),
        (_, Some(origin)) => origin.to_string(),
        (Some(_), None) => "default".to_owned(),
        (None, None) => "not set".to_owned(),
    };
    (setting, source)
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
