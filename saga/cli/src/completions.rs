//! Completions for shells.

use clap_complete::{Shell, generate};

use crate::{args::Cli, failure::Failure, output::print};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga completions bash > ~/.local/share/bash-completion/completions/saga
  saga completions zsh > ~/.zfunc/_saga
  saga completions fish > ~/.config/fish/completions/saga.fish")]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut bootstrap::config::command::<Cli>(), "saga", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
