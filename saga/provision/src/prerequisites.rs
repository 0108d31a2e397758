//! What must be on the machine, looked for at once and before anything is started.

use crate::{Error, kafka, postgres};

/// Looks for the programs of the servers that are to be started.
///
/// # Errors
/// All that is missing, with one line that installs it.
pub async fn check(
    postgres: Option<&postgres::Options>,
    kafka: Option<&kafka::Options>,
) -> Result<(), Error> {
    let of_postgres = async {
        match postgres {
            Some(options) => vec![postgres::find_programs(options).await],
            None => Vec::new(),
        }
    };
    let of_kafka = async {
        match kafka {
            Some(options) => kafka::find_programs(options).await.into(),
            None => Vec::new(),
        }
    };
    let (found, of_kafka) = tokio::join!(of_postgres, of_kafka);
    let mut missing = Vec::new();
    for found in found.into_iter().chain(of_kafka) {
        match found {
            Ok(()) => {}
            Err(error) if error.packages().is_some() => missing.push(error),
            Err(error) => return Err(error),
        }
    }
    match missing.len() {
        0 | 1 => missing.pop().map_or(Ok(()), Err),
        _ => Err(several(&missing)),
    }
}

fn several(missing: &[Error]) -> Error {
    let packages: Vec<Packages> = missing.iter().filter_map(Error::packages).collect();
    let all = |of: fn(&Packages) -> &'static str, between: &str| {
        packages.iter().map(of).collect::<Vec<_>>().join(between)
    };
    Error::SeveralMissing {
        what: all(|packages| packages.of, ", "),
        apt: all(|packages| packages.apt, " "),
        brew: all(|packages| packages.brew, " "),
    }
}

/// What brings a missing program.
#[derive(Debug)]
pub(crate) struct Packages {
    /// What a person calls it.
    pub(crate) of: &'static str,
    pub(crate) apt: &'static str,
    pub(crate) brew: &'static str,
}
