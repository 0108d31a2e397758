//! The machine's Java, if it is new enough for the broker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Error, tool};

const OLDEST: u32 = 17;
const VERSION_PATIENCE: Duration = Duration::from_secs(30);

/// A Java program that can run the broker.
#[derive(Debug)]
pub(crate) struct Java {
    pub(crate) program: PathBuf,
    /// As it calls itself: `17.0.15`.
    pub(crate) version: String,
}

/// The first that is new enough: the wanted one and no other if one is named; else JAVA_HOME, PATH,
/// and the usual places.
pub(crate) async fn find(wanted: Option<&Path>) -> Result<Java, Error> {
    let mut found = Vec::new();
    for program in wanted.map_or_else(usual_programs, |wanted| vec![program_of(wanted)]) {
        if !program.is_file() {
            found.push(format!("no {}", program.display()));
            continue;
        }
        let mut ask = Command::new(&program);
        ask.arg("-version");
        let said = tool::run(ask, VERSION_PATIENCE).await.map(|output| tool::said(&output));
        match said.ok().as_deref().and_then(version) {
            Some(version) if major(version).is_some_and(|major| major >= OLDEST) => {
                return Ok(Java { program, version: version.to_owned() });
            }
            Some(version) => found.push(format!("{} is {version}", program.display())),
            None => found.push(format!("{} does not tell its version", program.display())),
        }
    }
    let found = if found.is_empty() { "none found".to_owned() } else { found.join(", ") };
    Err(Error::NoJava { found })
}

fn usual_programs() -> Vec<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let mut programs: Vec<PathBuf> =
        home.map(|home| program_of(Path::new(&home))).into_iter().collect();
    programs.extend(tool::on_path("java"));
    let homes = ["/usr/lib/jvm", "/opt/homebrew/opt", "/usr/local/opt"]
        .iter()
        .flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten())
        .map(|entry| entry.path().join("bin/java"));
    programs.extend(homes.filter(|program| program.is_file()));
    programs
}

fn program_of(home_or_program: &Path) -> PathBuf {
    if home_or_program.is_dir() {
        home_or_program.join("bin/java")
    } else {
        home_or_program.to_owned()
    }
}

/// The quoted word in `openjdk version "17.0.15" 2025-04-15`.
fn version(said: &str) -> Option<&str> {
    said.lines().find(|line| line.contains(" version \""))?.split('"').nth(1)
}

/// 17 for `17.0.15` and `17-ea`; 1 for the `1.8.0` of old, which is old enough to say no.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests;
