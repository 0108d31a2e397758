//! Where a process's settings come from: flags over `SAGA_*` variables over a TOML file over
//! defaults. What nobody reads is refused, so a misspelt setting never goes unnoticed.

mod file;
mod layers;
mod show;

use std::{ffi::OsString, io::Write, net::SocketAddr};

use clap::{
    Arg, ArgMatches, Command, CommandFactory, Error, Parser,
    error::{ContextKind, ErrorKind},
};

use crate::healthcheck;
pub use layers::OF_THE_COMMAND;
use layers::{Known, Layers};

/// The settings of this process, from its flags, `SAGA_*` variables, the file that `--config` or
/// `SAGA_CONFIG` names, and defaults.
///
/// The file is a flat TOML table whose keys are the long flags: `kafka = "127.0.0.1:9092"`.
/// `config show` prints every value and where it came from, as JSON where `C` has a flag `--output`
/// that says `json` or `jsonl`. Where `C` has a flag `--listen` with a
/// [`SocketAddr`], `healthcheck` asks the process that listens there whether it serves, and ends
/// with code 0 or 1. On misuse the process ends with code 2 and says what was wrong. `C` must not
/// have a flag `--config` or one of these subcommands itself.
pub fn parse<C: Parser>() -> C {
    match resolve(std::env::args_os().collect(), std::env::vars_os()) {
        Ok(Resolved::Settings(settings)) => settings,
        Ok(Resolved::Shown(text)) => print_and_exit(&text),
        Ok(Resolved::Healthcheck(listen)) => check_and_exit(listen),
        Err(error) => error.exit(),
    }
}

#[expect(clippy::exit, reason = "like clap's own `--help`: nothing runs yet")]
fn print_and_exit(text: &str) -> ! {
    let written = std::io::stdout().write_all(text.as_bytes());
    std::process::exit(i32::from(written.is_err()))
}

#[expect(clippy::exit, reason = "the exit code is the answer")]
fn check_and_exit(listen: SocketAddr) -> ! {
    let outcome = healthcheck::check(listen);
    if let Err(error) = &outcome {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }
    std::process::exit(i32::from(outcome.is_err()))
}

enum Resolved<C> {
    Settings(C),
    Shown(String),
    /// Where the process listens whose health is asked for.
    Healthcheck(SocketAddr),
}

fn resolve<C: Parser>(
    args: Vec<OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Resolved<C>, Error> {
    let mut command = command::<C>();
    let layers = Known::of(&command).collect(&args, env).map_err(|refusal| {
        let asked = command.clone().try_get_matches_from(&args);
        match asked.map_err(|error| (error.kind(), error)) {
            // Who asks for help needs it.
            Err((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, help)) => help,
            Ok(_) | Err(_) => command.error(ErrorKind::UnknownArgument, refusal),
        }
    })?;
    let mut command = layers.install(command);

    let mut matches = command
        .try_get_matches_from_mut(args)
        .map_err(|error| blame_the_source(&mut command, error, &layers))?;
    if asks_to_show(&matches) {
        return Ok(Resolved::Shown(show::text(&command, &matches, &layers)));
    }
    if let Some(listen) = whose_health(&matches) {
        return Ok(Resolved::Healthcheck(listen));
    }
    C::from_arg_matches_mut(&mut matches)
        .map(Resolved::Settings)
        .map_err(|error| error.format(&mut command))
}

/// The command line of `C` with what this module adds to it, for help and completions.
pub fn command<C: CommandFactory>() -> Command {
    with_healthcheck(with_config(C::command()))
}

fn with_config(command: Command) -> Command {
    let examples = "Examples:
  NAME config show
  NAME config show --config settings.toml
  NAME config show > settings.toml     a file for --config, but for blotted-out secrets"
        .replace("NAME", command.get_name());
    let is_plain = !command.has_subcommands();
    let command = command
        .arg(
            Arg::new(FILE_FLAG)
                .long(FILE_FLAG)
                .env(FILE_VARIABLE)
                .value_name("FILE")
                .global(true)
                .help("TOML file with settings, named like the long flags"),
        )
        .subcommand(
            Command::new("config")
                .about("Look at the settings")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    Command::new("show")
                        .about("Print every setting and where it came from")
                        .after_help(examples),
                ),
        );
    // A service that misses a required setting can still show the ones it has.
    if is_plain { command.subcommand_negates_reqs(true) } else { command }
}

fn with_healthcheck(command: Command) -> Command {
    let listens = command.get_arguments().any(|arg| arg.get_id() == LISTEN_FLAG);
    if !listens {
        return command;
    }
    // A health check is given what the process was given, and people write that behind its name, too.
    let here_too = |arg: Arg| if arg.get_id() == LISTEN_FLAG { arg.global(true) } else { arg };
    command.mut_args(here_too).subcommand(
        Command::new(HEALTHCHECK)
            .about("Ask the process that runs with these settings whether it serves"),
    )
}

const FILE_FLAG: &str = "config";
const FILE_VARIABLE: &str = "SAGA_CONFIG";
const LISTEN_FLAG: &str = "listen";
const HEALTHCHECK: &str = "healthcheck";

fn asks_to_show(matches: &ArgMatches) -> bool {
    matches.subcommand_matches("config").and_then(ArgMatches::subcommand_name) == Some("show")
}

fn whose_health(matches: &ArgMatches) -> Option<SocketAddr> {
    if matches.subcommand_name() != Some(HEALTHCHECK) {
        return None;
    }
    matches.try_get_one(LISTEN_FLAG).ok().flatten().copied()
}

/// clap only knows the flag that a bad value belongs to; the reader must edit a file or a variable.
fn blame_the_source(command: &mut Command, error: Error, layers: &Layers) -> Error {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let (Some(arg), Some(value)) =
        (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue))
    else {
        return error;
    };
    let flag = arg.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default();
    let Some(origin) = layers.origin_of(flag, &value) else {
        return error;
    };
    let rendered = error.render().to_string();
    let mut told = rendered.trim_start_matches("error: ").lines();
    let what = told.next().unwrap_or_default();
    // What could stand there instead.
    let rest: String =
        told.take_while(|line| !line.is_empty()).map(|line| format!("\n{line}")).collect();
    command.error(error.kind(), format!("{what} (set by {origin}){rest}"))
}

#[cfg(test)]
mod tests;
