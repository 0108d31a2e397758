//! The settings that variables and the file give, laid under the flags as clap's defaults.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

use clap::{
    Arg, ArgAction, Command,
    builder::{BoolishValueParser, Resettable},
};

use super::{FILE_FLAG, FILE_VARIABLE, file};

/// Every setting that the command or one of its subcommands reads.
pub(super) struct Known {
    flags: BTreeSet<String>,
    variables: BTreeMap<String, String>,
}

/// The values by long flag.
pub(super) struct Layers {
    values: BTreeMap<String, Layer>,
    /// Flags whose variable is there but empty: compose writes `SAGA_X=` for one that is not set.
    empty_variables: BTreeSet<String>,
}

struct Layer {
    values: Vec<OsString>,
    origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Variable(String),
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl Known {
    pub(super) fn of(command: &Command) -> Self {
        let mut known = Self { flags: BTreeSet::new(), variables: BTreeMap::new() };
        known.add(command);
        known
    }

    fn add(&mut self, command: &Command) {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|_| !arg.is_hide_set()) else { continue };
            let variable = arg.get_env().and_then(OsStr::to_str);
            if let Some(variable) = variable.filter(|name| name.starts_with(PREFIX)) {
                self.variables.insert(variable.to_owned(), long.to_owned());
            }
            if long != FILE_FLAG {
                self.flags.insert(long.to_owned());
            }
        }
        for subcommand in command.get_subcommands() {
            self.add(subcommand);
        }
    }

    /// Reads the variables and the file; the error says what is unknown and what is known.
    pub(super) fn collect(
        &self,
        args: &[OsString],
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Layers, String> {
        let variables = self.variables(env)?;
        let named_by_variable =
            || variables.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, path)| path);

        let mut values = BTreeMap::new();
        let mut empty_variables = BTreeSet::new();
        if let Some(path) = file_flag(args).or_else(|| named_by_variable().map(OsString::as_os_str))
            && !path.is_empty()
        {
            for (flag, given) in file::read(path, &self.flags)? {
                let layer = Layer { values: given, origin: Origin::File(path.into()) };
                values.insert(flag, layer);
            }
        }
        for (name, value) in variables {
            let Some(flag) = self.variables.get(&name) else { continue };
            if value.is_empty() {
                empty_variables.insert(flag.clone());
            } else {
                let layer = Layer { values: vec![value], origin: Origin::Variable(name) };
                values.insert(flag.clone(), layer);
            }
        }
        Ok(Layers { values, empty_variables })
    }

    fn variables(
        &self,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<(String, OsString)>, String> {
        env.into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .filter(|(name, value)| {
                self.variables.contains_key(name)
                    || !(is_of_the_command(name) || is_service_link(name, value))
            })
            .map(|(name, value)| {
                if self.variables.contains_key(&name) {
                    Ok((name, value))
                } else {
                    let ours = self.variables.keys().map(String::as_str);
                    Err(file::unknown("variable", &name, ours, &OF_THE_COMMAND))
                }
            })
            .collect()
    }
}

/// Of the variables that are settings.
const PREFIX: &str = "SAGA_";

/// What only the command `saga` reads. Whoever exports it may start a service in the same shell: there
/// it says nothing, and is no mistake.
pub const OF_THE_COMMAND: [&str; 8] = [
    "SAGA_COORDINATOR",
    "SAGA_DATA_DIR",
    "SAGA_INVENTORY",
    "SAGA_ORDER",
    "SAGA_OUTPUT",
    "SAGA_PAYMENT",
    "SAGA_PORT_BASE",
    "SAGA_TIMEOUT",
];

fn is_of_the_command(name: &str) -> bool {
    OF_THE_COMMAND.contains(&name)
}

/// What Kubernetes tells a container about a service called `saga-…`: it is no setting of ours.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_url = || value.to_str().is_some_and(|value| value.contains("://"));
    let is_of_port = |rest: &str| {
        let mut words = rest.split('_');
        let is_number = words.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_number && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_url())
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_of_port(rest))
}

/// The file must be read before clap runs, so its flag is looked for by hand.
fn file_flag(args: &[OsString]) -> Option<&OsStr> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(OsString::as_os_str);
        }
        if let Some(path) = arg.to_str().and_then(|arg| arg.strip_prefix("--config=")) {
            return Some(OsStr::new(path));
        }
    }
    None
}

impl Layers {
    /// The command with these values as its defaults, in subcommands too: flags stand over them.
    pub(super) fn install(&self, mut command: Command) -> Command {
        let args: Vec<_> = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
            .collect();
        for (id, long) in args {
            command = command.mut_arg(id, |arg| self.under(arg, &long));
        }
        let subcommands: Vec<_> =
            command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in subcommands {
            command = command.mut_subcommand(name, |subcommand| self.install(subcommand));
        }
        command
    }

    fn under(&self, arg: Arg, long: &str) -> Arg {
        // A variable that help is silent about is in the layers already: with it clap would speak of its
        // flag as of one that was typed, and give no help to who types nothing.
        let is_silent = arg.is_hide_env_set() && self.values.contains_key(long);
        let arg = if is_silent || self.empty_variables.contains(long) {
            arg.env(Resettable::Reset)
        } else {
            arg
        };
        let arg = if matches!(arg.get_action(), ArgAction::SetTrue) {
            arg.value_parser(BoolishValueParser::new())
        } else {
            arg
        };
        match self.values.get(long) {
            Some(layer) => {
                let values: Vec<_> = layer.values.iter().map(for_ever).collect();
                arg.required(false).default_values(values)
            }
            None => arg,
        }
    }

    pub(super) fn origin(&self, flag: &str) -> Option<&Origin> {
        self.values.get(flag).map(|layer| &layer.origin)
    }

    /// Where this value of this flag came from, if from a variable or the file.
    pub(super) fn origin_of(&self, flag: &str, value: &str) -> Option<&Origin> {
        let layer = self.values.get(flag)?;
        layer.values.iter().any(|given| given == value).then_some(&layer.origin)
    }
}

/// clap wants defaults that outlive it; there are as many as settings, once per process.
fn for_ever(value: &OsString) -> &'static OsStr {
    Box::leak(value.clone().into_boxed_os_str())
}
