//! The TOML file: a flat table whose keys are long flags.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::Path,
};

use toml::{Table, Value};

/// The values of each flag in the file at `path`, which may only name `known` flags.
pub(super) fn read(
    path: &OsStr,
    known: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<OsString>>, String> {
    let path = Path::new(path);
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the settings file '{}': {error}", path.display()))?;
    let table: Table = text
        .parse()
        .map_err(|error| format!("the settings file '{}' is not TOML: {error}", path.display()))?;

    let mut settings = BTreeMap::new();
    for (key, value) in table {
        let in_file = |problem: String| format!("{problem}\n\n  in the file '{}'", path.display());
        if !known.contains(&key) {
            let known = known.iter().map(String::as_str);
            return Err(in_file(unknown("key", &key, known, &[])));
        }
        let values = as_flag_values(&key, value).map_err(in_file)?;
        settings.insert(key, values);
    }
    Ok(settings)
}

fn as_flag_values(key: &str, value: Value) -> Result<Vec<OsString>, String> {
    match value {
        Value::String(text) => Ok(vec![text.into()]),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            Ok(vec![value.to_string().into()])
        }
        Value::Array(values) => {
            let values = values.into_iter().map(|value| as_flag_values(key, value));
            Ok(values.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Value::Table(_) => Err(format!(
            "key '{key}' is a table, but the file is flat: write the long flags as keys"
        )),
    }
}

/// Says that `name` is not known, what was probably meant, and what there is; it may be one that is
/// read `elsewhere`.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    elsewhere: &[&str],
) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let meant = known
        .iter()
        .chain(elsewhere)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min()
        .map(|(_, candidate)| format!("; did you mean '{candidate}'?"))
        .unwrap_or_default();
    format!("unknown {what} '{name}'{meant}\n\n  known: {}", known.join(", "))
}

/// How many letters to insert, delete or exchange (Levenshtein), reading `_` as `-`.
fn distance(left: &str, right: &str) -> usize {
    let letters = |text: &str| text.replace('_', "-").to_lowercase().chars().collect::<Vec<_>>();
    let (left, right) = (letters(left), letters(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.iter().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        let mut next = vec![before];
        for (above, to) in row.iter().skip(1).zip(&right) {
            before = (diagonal + usize::from(from != to)).min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
