//! Where a process's settings come from: flags over `SAGA_*` variables over a TOML file over
//! defaults. What nobody reads is refused, so a misspelt setting never goes unnoticed.

mod file;
mod layers;
mod show;

use std::{ffi::OsString, io::Write};

use clap::{
    Arg, ArgMatches, Command, Error, Parser,
    error::{ContextKind, ErrorKind},
};

use layers::{Known, Layers};

/// The settings of this process, from its flags, `SAGA_*` variables, the file that `--config` or
/// `SAGA_CONFIG` names, and defaults.
///
/// The file is a flat TOML table whose keys are the long flags: `kafka = "127.0.0.1:9092"`.
/// `config show` prints every value and where it came from. On misuse the process ends with code 2
/// and says what was wrong. `C` must not have a flag `--config` or a subcommand `config` itself.
pub fn parse<C: Parser>() -> C {
    match resolve(std::env::args_os().collect(), std::env::vars_os()) {
        Ok(Resolved::Settings(settings)) => settings,
        Ok(Resolved::Shown(text)) => print_and_exit(&text),
        Err(error) => error.exit(),
    }
}

#[expect(clippy::exit, reason = "like clap's own `--help`: nothing runs yet")]
fn print_and_exit(text: &str) -> ! {
    let written = std::io::stdout().write_all(text.as_bytes());
    std::process::exit(i32::from(written.is_err()))
}

enum Resolved<C> {
    Settings(C),
    Shown(String),
}

fn resolve<C: Parser>(
    args: Vec<OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Resolved<C>, Error> {
    let mut command = with_config(C::command());
    let layers = Known::of(&command)
        .collect(&args, env)
        .map_err(|refusal| command.error(ErrorKind::UnknownArgument, refusal))?;
    let mut command = layers.install(command);

    let mut matches = command
        .try_get_matches_from_mut(args)
        .map_err(|error| blame_the_source(&mut command, error, &layers))?;
    if asks_to_show(&matches) {
        return Ok(Resolved::Shown(show::text(&command, &matches, &layers)));
    }
    C::from_arg_matches_mut(&mut matches)
        .map(Resolved::Settings)
        .map_err(|error| error.format(&mut command))
}

fn with_config(command: Command) -> Command {
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
                    Command::new("show").about("Print every setting and where it came from"),
                ),
        );
    // A service that misses a required setting can still show the ones it has.
    if is_plain { command.subcommand_negates_reqs(true) } else { command }
}

const FILE_FLAG: &str = "config";
const FILE_VARIABLE: &str = "SAGA_CONFIG";

fn asks_to_show(matches: &ArgMatches) -> bool {
    matches.subcommand_matches("config").and_then(ArgMatches::subcommand_name) == Some("show")
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
    let what = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ");
    command.error(error.kind(), format!("{what} (set by {origin})"))
}

#[cfg(test)]
mod tests;
