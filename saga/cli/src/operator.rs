//! What an operator may do about a saga. Who did it, and why, is kept in its journal.

use std::io::{IsTerminal, Write};

use proto::saga::{
    CancelSagaRequest, GetSagaResponse, InterveneResponse, PauseSagaRequest, ResolveSagaRequest,
    ResumeSagaRequest, RetryStepRequest, Saga, SkipStepRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    advice::here,
    clients::Clients,
    failure::Failure,
    output::{Format, paint},
    sagas, story,
};

/// Go back and undo what was done; possible until the deciding step is asked
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga cancel ORDER-ID --reason 'ordered by mistake'")]
pub(crate) struct Args {
    #[command(flatten)]
    what: Intervention,
}

/// Send nothing more until resumed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga pause ORDER-ID --reason 'the warehouse is being counted'")]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    what: Intervention,
}

/// Go on with a paused saga
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga resume ORDER-ID --reason 'the warehouse is counted'")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    what: Intervention,
}

/// Ask at once for everything that is outstanding: the way out of being stuck
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga retry ORDER-ID --reason 'the payment service is back'")]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    what: Intervention,
}

/// Take an outstanding step as done, though nobody checks that it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga skip ORDER-ID commit-stock --reason 'booked by hand'
  saga skip ORDER-ID commit-stock --reason 'booked by hand' --yes     without being asked")]
pub(crate) struct SkipArgs {
    #[command(flatten)]
    what: Intervention,
    /// The step that is outstanding
    step: String,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

/// End a stuck saga that was settled outside
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga resolve ORDER-ID --reason 'refunded by bank transfer'
  saga resolve ORDER-ID --reason 'refunded by bank transfer' --yes     without being asked")]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    what: Intervention,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
}

/// What every verb takes.
#[derive(Debug, clap::Args)]
struct Intervention {
    /// The saga's id, or its order's
    id: String,
    /// Why; kept in the journal
    #[arg(long)]
    reason: String,
    /// Who; kept in the journal
    #[arg(long, env = "USER", hide_env = true, default_value = "operator", value_name = "NAME")]
    by: String,
    /// Makes sending it again harmless [default: a new one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// A verb is a request with the same four fields, and the method that takes it.
macro_rules! verb {
    ($name:ident, $args:ty, $request:ident, $method:ident) => {
        pub(crate) async fn $name(
            args: $args,
            clients: &Clients,
            format: Format,
        ) -> Result<(), Failure> {
            let Intervention { id, reason, by, request_id } = args.what;
            let request_id = request_id.unwrap_or_else(new_request_id);
            let request = $request { id, by, reason, request_id };
            let sagas = clients.sagas()?;
            let answer = sagas.ask(request, async |mut api, request| api.$method(request).await);
            tell(answer.await?, format)
        }
    };
}

verb!(cancel, Args, CancelSagaRequest, cancel_saga);
verb!(pause, PauseArgs, PauseSagaRequest, pause_saga);
verb!(resume, ResumeArgs, ResumeSagaRequest, resume_saga);
verb!(retry, RetryArgs, RetryStepRequest, retry_step);

pub(crate) async fn skip(args: SkipArgs, clients: &Clients, format: Format) -> Result<(), Failure> {
    let Intervention { id, reason, by, request_id } = args.what;
    let sagas = clients.sagas()?;
    check_has_step(&sagas::get(&sagas, id.clone()).await?, &args.step)?;
    let question = format!("Take {} of {id} as done? Nobody checks that it is.", args.step);
    confirm(args.yes, &question)?;
    let request_id = request_id.unwrap_or_else(new_request_id);
    let request =
        SkipStepRequest { id, by, reason, request_id, step: args.step, reply: Vec::new() };
    let answer = sagas.ask(request, async |mut api, request| api.skip_step(request).await);
    tell(answer.await?, format)
}

pub(crate) async fn resolve(
    args: ResolveArgs,
    clients: &Clients,
    format: Format,
) -> Result<(), Failure> {
    let Intervention { id, reason, by, request_id } = args.what;
    let question = format!(
        "End {id} as settled outside? What its steps did stays as it is, and it cannot be taken up \
         again. If it was not decided yet, its order is cancelled."
    );
    confirm(args.yes, &question)?;
    let request_id = request_id.unwrap_or_else(new_request_id);
    let request = ResolveSagaRequest { id, by, reason, request_id };
    let sagas = clients.sagas()?;
    let answer = sagas.ask(request, async |mut api, request| api.resolve_saga(request).await);
    tell(answer.await?, format)
}

/// To the coordinator a step that is not there is just one that is not outstanding.
fn check_has_step(story: &GetSagaResponse, step: &str) -> Result<(), Failure> {
    let steps: Vec<_> = story.steps.iter().map(|step| step.name.as_str()).collect();
    // Of a version that the coordinator does not know it does not tell the steps.
    if steps.is_empty() || steps.contains(&step) {
        return Ok(());
    }
    let saga = story.saga.as_ref().map(|saga| saga.definition.as_str()).unwrap_or_default();
    let what = format!("saga {saga} has no step '{step}'");
    Err(Failure::of_code(Code::NotFound, what).next(format!("name one of {}", steps.join(", "))))
}

fn new_request_id() -> String {
    Uuid::now_v7().to_string()
}

fn tell(answer: InterveneResponse, format: Format) -> Result<(), Failure> {
    format.one(&answer.saga.unwrap_or_default(), as_line)
}

fn as_line(saga: &Saga) -> String {
    let (tone, status) = story::status(saga.status());
    format!(
        "{} {} is {}; {} tells more",
        saga.definition,
        saga.key,
        paint(tone, status),
        here(&format!("show {}", saga.key))
    )
}

/// Asks a person; where there is none, only `--yes` goes on.
fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let what = "this needs a yes, and there is nobody to ask";
        return Err(Failure::usage(what).why(question).next("add --yes if it is meant"));
    }
    let mut stderr = anstream::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}

#[cfg(test)]
mod tests;
