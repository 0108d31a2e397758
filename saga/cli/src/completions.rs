//! Completions for shells.

use clap_complete::{Shell, generate};

use crate::{args::Cli, failure::Failure, output::print};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(saga completions bash)     for this shell; in ~/.bashrc, for every one
  source <(saga completions zsh)      in ~/.zshrc, behind compinit
  saga completions fish | source      in ~/.config/fish/config.fish")]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut bootstrap::config::command::<Cli>(), "saga", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
