//! The command line: its commands, the flags that all of them share, and the help of the root.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    bench, completions, definitions, demo, operator, order, output::Format, payment, sagas, stock,
    units, up,
};

/// Runs sagas over Kafka and Postgres, and shows what they do
#[derive(Debug, Parser)]
#[command(name = "saga", version, after_help = HELP, subcommand_required = true,
          arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const HELP: &str = "\
Examples:
  saga demo                                     see one order confirmed and one undone
  saga up --detach                              run the system in the background
  saga order submit --sku SKU-1 --watch         order something and follow it
  saga list --since 10m                         the sagas of the last ten minutes
  saga show ID                                  one saga, by its id or its order's
  saga bench --rate 500 --duration 30s          load the system and check the books
  saga list -o jsonl | jq .status               data is on stdout, talk on stderr

Exit codes:
  0  done
  1  a fault, here or in a service
  2  wrong usage, or a request that can never be right
  3  no such thing
  4  refused in the state things are in
  5  not reachable, or too busy: try again
  6  no answer in time: the work may still be done
  7  a check did not hold: a component is down, the books do not balance, a watched order was
     cancelled or is stuck

Flags that commands share can be given as variables, such as SAGA_PORT_BASE, and every flag in the
file of --config; `saga config show` tells what is set.";

const SHARED: &str = "For every command";
const PLACE: &str = "Where the system is";

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Form of the data on stdout
    #[arg(
        short,
        long,
        global = true,
        env = "SAGA_OUTPUT",
        default_value = "table",
        value_name = "FORM",
        hide_env = true, help_heading = SHARED,
        hide_possible_values = false
    )]
    pub(crate) output: Format,

    /// Where the system that `saga up` starts keeps its data
    #[arg(
        long,
        global = true,
        env = "SAGA_DATA_DIR",
        default_value = up::DEFAULT_DATA_DIR,
        value_name = "FOLDER",
        hide_env = true, help_heading = SHARED
    )]
    pub(crate) data_dir: PathBuf,

    /// How long to wait for an answer
    #[arg(long, global = true, env = "SAGA_TIMEOUT", default_value = "10s",
          value_name = "DURATION", value_parser = units::duration, hide_env = true, help_heading = SHARED)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Where the four services listen.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// First of the ports on this machine: four services, Postgres and Kafka [default: of the system on
    /// the data folder, or 7100]
    #[arg(long, global = true, env = "SAGA_PORT_BASE", value_name = "PORT", hide_env = true, help_heading = PLACE,
          value_parser = clap::value_parser!(u16).range(1..=65_530))]
    pub(crate) port_base: Option<u16>,

    /// The coordinator, if not on the first port
    #[arg(long, global = true, env = "SAGA_COORDINATOR", value_name = "HOST:PORT",
          value_parser = address, hide_env = true, help_heading = PLACE)]
    pub(crate) coordinator: Option<String>,

    /// The order service, if not on the second port
    #[arg(long, global = true, env = "SAGA_ORDER", value_name = "HOST:PORT",
          value_parser = address, hide_env = true, help_heading = PLACE)]
    pub(crate) order: Option<String>,

    /// The inventory service, if not on the third port
    #[arg(long, global = true, env = "SAGA_INVENTORY", value_name = "HOST:PORT",
          value_parser = address, hide_env = true, help_heading = PLACE)]
    pub(crate) inventory: Option<String>,

    /// The payment service, if not on the fourth port
    #[arg(long, global = true, env = "SAGA_PAYMENT", value_name = "HOST:PORT",
          value_parser = address, hide_env = true, help_heading = PLACE)]
    pub(crate) payment: Option<String>,
}

pub(crate) fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is no address; write it like 127.0.0.1:7100");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    match port.parse::<u16>() {
        Ok(1..) if !host.is_empty() && !host.contains('/') => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

/// What `saga` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Up(up::Args),
    /// Stop the system that `saga up` started
    #[command(
        after_help = "Examples:\n  saga down\n  saga down --data-dir /var/tmp/saga\n  saga down -o json | jq .pid"
    )]
    Down,
    /// Whether each part of the system is well; exits with 7 when one is not
    #[command(after_help = "Examples:\n  saga status\n  saga status -o json | jq '.[].health'")]
    Status,
    /// Orders: submit, show, list, cancel, watch
    #[command(subcommand)]
    Order(order::Command),
    /// Stock: list, restock
    #[command(subcommand)]
    Stock(stock::Command),
    /// Payments: list, show
    #[command(subcommand)]
    Payment(payment::Command),
    List(sagas::ListArgs),
    Show(sagas::ShowArgs),
    Watch(sagas::WatchArgs),
    Cancel(operator::Args),
    Pause(operator::PauseArgs),
    Resume(operator::ResumeArgs),
    Retry(operator::RetryArgs),
    Skip(operator::SkipArgs),
    Resolve(operator::ResolveArgs),
    Definitions(definitions::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

#[cfg(test)]
mod tests;
