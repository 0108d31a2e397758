//! The programs of Postgres, wherever the machine has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::account::Account;
use crate::{Error, tool};

const TOOL_PATIENCE: Duration = Duration::from_secs(20);
/// Folders that hold one folder per version, with the programs in its `bin`.
const VERSIONED: [&str; 4] = [
    "/usr/lib/postgresql",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/Applications/Postgres.app/Contents/Versions",
];

/// A folder with `initdb` and `postgres` of one version.
#[derive(Debug)]
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    pub(crate) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    /// The cheapest compression this build knows.
    pub(crate) async fn wal_compression(
        &self,
        account: Option<&Account>,
        data_dir: &Path,
    ) -> &'static str {
        let mut ask = super::command(&self.postgres(), account, data_dir);
        ask.args(["-C", "wal_compression", "-c", "wal_compression=lz4", "-D"]).arg(data_dir);
        if tool::succeed(ask, TOOL_PATIENCE).await.is_ok() { "lz4" } else { "on" }
    }

    /// As in PG_VERSION: `15`.
    async fn major_version(&self) -> Option<String> {
        let mut ask = Command::new(self.postgres());
        ask.arg("--version");
        let said = tool::succeed(ask, TOOL_PATIENCE).await.ok()?;
        let version = said.split_whitespace().nth(2)?;
        Some(version.chars().take_while(char::is_ascii_digit).collect())
    }
}

/// The first that fits: the wanted folder and no other if one is named, by the caller or in `PG_BIN`;
/// else PATH, `pg_config`, and
/// the usual places, newest first. Existing data asks for its own version.
pub(crate) async fn find(wanted: Option<&Path>, data_dir: &Path) -> Result<Binaries, Error> {
    let named = std::env::var_os("PG_BIN").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let wanted = wanted.map(Path::to_owned).or(named);
    let folders = match &wanted {
        Some(wanted) => vec![wanted.clone()],
        None => usual_folders().await,
    };
    let written = fs::read_to_string(data_dir.join("PG_VERSION"));
    let mut others = Vec::new();
    for folder in folders.iter().filter(|folder| is_complete(folder)) {
        let binaries = Binaries(folder.clone());
        let Some(version) = binaries.major_version().await else { continue };
        match &written {
            Ok(written) if written.trim() != version => others.push(version),
            Ok(_) | Err(_) => return Ok(binaries),
        }
    }
    match written {
        Ok(written) if !others.is_empty() => Err(Error::OtherVersion {
            folder: data_dir.to_owned(),
            written: written.trim().to_owned(),
            found: others.join(", "),
        }),
        Ok(_) | Err(_) => Err(Error::NoPostgres {
            looked_in: match &wanted {
                Some(wanted) => wanted.display().to_string(),
                None => "PATH, pg_config, /usr/lib/postgresql, Homebrew, Postgres.app".to_owned(),
            },
        }),
    }
}

async fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    // A link on PATH leads to the folder where everything is.
    let initdb = tool::on_path("initdb").and_then(|path| path.canonicalize().ok());
    folders.extend(initdb.as_deref().and_then(Path::parent).map(Path::to_owned));
    if let Some(pg_config) = tool::on_path("pg_config") {
        let mut ask = Command::new(pg_config);
        ask.arg("--bindir");
        folders.extend(tool::succeed(ask, TOOL_PATIENCE).await.map(|said| said.trim().into()).ok());
    }
    let mut versioned: Vec<(u32, PathBuf)> =
        VERSIONED.iter().flat_map(|parent| versions(Path::new(parent))).collect();
    versioned.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.extend(versioned.into_iter().map(|(_, folder)| folder));
    folders
}

/// `15`, `postgresql@15`: the number in the folder's name is the version.
fn versions(parent: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let version = |name: &str| {
        let name = name.strip_prefix("postgresql@").unwrap_or(name);
        name.split('.').next().and_then(|major| major.parse().ok())
    };
    entries
        .filter_map(|entry| {
            Some((version(&entry.file_name().to_string_lossy())?, entry.path().join("bin")))
        })
        .collect()
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}
