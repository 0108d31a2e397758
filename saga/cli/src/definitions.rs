//! What sagas there are.

use proto::saga::{DefinitionSummary, ListDefinitionsRequest};

use crate::{
    clients::Clients,
    failure::Failure,
    output::{Format, lines, print, table},
};

/// The kinds of sagas there are, with their versions
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga definitions
  saga definitions --mermaid          draw them
  saga definitions -o json")]
pub(crate) struct Args {
    /// Draw the current ones as Mermaid diagrams; in JSON they are there in any case
    #[arg(long)]
    mermaid: bool,
}

pub(crate) async fn run(args: Args, clients: &Clients, format: Format) -> Result<(), Failure> {
    let request = ListDefinitionsRequest {};
    let listed = clients
        .sagas()?
        .ask(request, async |mut sagas, request| sagas.list_definitions(request).await)
        .await?;
    if args.mermaid && format == Format::Table {
        let current = listed.definitions.iter().filter(|definition| definition.current);
        let drawings: Vec<_> = current.map(|definition| definition.mermaid.trim_end()).collect();
        return print(&drawings.join("\n\n"));
    }
    format.list(&listed.definitions, as_table)
}

fn as_table(definitions: &[DefinitionSummary]) -> String {
    let mut table = table(&["SAGA", "VERSION", "NEW SAGAS FOLLOW IT", "STARTED BY"]);
    for definition in definitions {
        let current = if definition.current { "yes" } else { "no" };
        table.add_row([&definition.name, &definition.version, current, &definition.started_by]);
    }
    lines(&table)
}
