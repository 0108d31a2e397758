//! The command `saga`: runs the system, talks to it, watches it and loads it.

mod advice;
mod args;
mod clients;
mod failure;
mod output;
mod pages;
mod units;

mod bench;
mod completions;
mod definitions;
mod demo;
mod operator;
mod order;
mod payment;
mod sagas;
mod stock;
mod story;
mod up;

use std::process::ExitCode;

use args::{Cli, Command};
use clients::Clients;
use failure::Failure;

/// Messages are many small pieces of memory, made in one thread and freed in another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli: Cli = bootstrap::config::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start the runtime").why(error.to_string()))
        .and_then(|runtime| runtime.block_on(Box::pin(run(cli))));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let format = cli.global.output;
    let clients = Clients::new(&cli.global);
    match cli.command {
        Command::Demo(args) => demo::run(args, &cli.global).await,
        Command::Up(args) => up::run(args, &cli.global).await,
        Command::Down => up::down(&cli.global).await,
        Command::Status => up::status(&cli.global, &clients).await,
        Command::Order(command) => order::run(command, &clients, format).await,
        Command::Stock(command) => stock::run(command, &clients, format).await,
        Command::Payment(command) => payment::run(command, &clients, format).await,
        Command::List(args) => sagas::list(args, &clients, format).await,
        Command::Show(args) => sagas::show(args, &clients, format).await,
        Command::Watch(args) => sagas::watch(args, &clients, format).await,
        Command::Cancel(args) => operator::cancel(args, &clients, format).await,
        Command::Pause(args) => operator::pause(args, &clients, format).await,
        Command::Resume(args) => operator::resume(args, &clients, format).await,
        Command::Retry(args) => operator::retry(args, &clients, format).await,
        Command::Skip(args) => operator::skip(args, &clients, format).await,
        Command::Resolve(args) => operator::resolve(args, &clients, format).await,
        Command::Definitions(args) => definitions::run(args, &clients, format).await,
        Command::Bench(args) => bench::run(args, &clients, format).await,
        Command::Completions(args) => completions::run(args),
    }
}
