//! Data goes to stdout in the form that was asked for, talk goes to stderr. Colours are left out
//! where nobody sees them.

use std::{io::Write, sync::LazyLock};

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Table, presets};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::{Serialize, Serializer};

use crate::failure::Failure;

/// The form of what goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document; of a stream, one object a line
    Json,
    /// One JSON object a line
    Jsonl,
}

impl Format {
    /// A list of messages.
    pub(crate) fn list<M: Message + Name>(
        self,
        messages: &[M],
        table: impl FnOnce(&[M]) -> String,
    ) -> Result<(), Failure> {
        match self {
            Self::Table => print(&table(messages)),
            Self::Json => print(&json(&messages.iter().map(Canonical).collect::<Vec<_>>(), true)?),
            Self::Jsonl => {
                for message in messages {
                    print(&json(&Canonical(message), false)?)?;
                }
                Ok(())
            }
        }
    }

    /// One message.
    pub(crate) fn one<M: Message + Name>(
        self,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        self.value(&Canonical(message), || text(message))
    }

    /// One message of a stream.
    pub(crate) fn event<M: Message + Name>(
        self,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        match self {
            Self::Table => print(&text(message)),
            Self::Json | Self::Jsonl => print(&json(&Canonical(message), false)?),
        }
    }

    /// What is no message of the contracts.
    pub(crate) fn value<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self {
            Self::Table => print(&text()),
            Self::Json => print(&json(value, true)?),
            Self::Jsonl => print(&json(value, false)?),
        }
    }
}

/// A line, or lines, on stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// A line, or lines, on stderr: progress and advice. When nobody can hear it, it is not said.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// An empty table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings.iter().copied());
    table
}

/// The table without the margin at the left and the blanks at the right.
pub(crate) fn lines(table: &Table) -> String {
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// What a piece of text wants to say with its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Back,
    Dim,
    Strong,
}

/// The text with its colour; stdout and stderr take the colour out again where it is not wanted.
pub(crate) fn paint(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Plain => Style::new(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Back => AnsiColor::Yellow.on_default(),
        Tone::Dim => Style::new().dimmed(),
        Tone::Strong => Style::new().bold(),
    };
    format!("{style}{text}{style:#}")
}

fn json<T: Serialize>(value: &T, pretty: bool) -> Result<String, Failure> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|error| Failure::new("cannot write JSON").why(error.to_string()))
}

/// A message as the canonical JSON of protobuf, with the fields that have their default too, so
/// that a script finds what it looks for.
struct Canonical<'a, M>(&'a M);

impl<M: Message + Name> Serialize for Canonical<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wrong = <S::Error as serde::ser::Error>::custom::<String>;
        let name = M::full_name();
        let descriptor = POOL
            .as_ref()
            .and_then(|pool| pool.get_message_by_name(&name))
            .ok_or_else(|| wrong(format!("there is no description of {name}")))?;
        let message = DynamicMessage::decode(descriptor, self.0.encode_to_vec().as_slice())
            .map_err(|error| wrong(error.to_string()))?;
        let options = SerializeOptions::new().skip_default_fields(false);
        message.serialize_with_options(serializer, &options)
    }
}

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).ok());

#[cfg(test)]
mod tests;
