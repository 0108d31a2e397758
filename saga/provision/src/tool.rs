//! Programs that run once and end: initdb, java -version, mvn.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::Error;

/// Runs it to its end; output and errors are captured. It dies with the returned future.
pub(crate) async fn run(command: Command, patience: Duration) -> Result<Output, Error> {
    let tool = name(&command);
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(patience, command.output())
        .await
        .map_err(|_| Error::ToolHangs { tool: tool.clone(), patience })?
        .map_err(Error::io(format!("running {tool}")))
}

/// As `run`, and anything but success is an error with what the tool said.
pub(crate) async fn succeed(command: Command, patience: Duration) -> Result<String, Error> {
    let tool = name(&command);
    let output = run(command, patience).await?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Tool { tool, status: output.status.to_string(), output: said(&output) })
    }
}

/// What it wrote on either stream.
pub(crate) fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}").trim().to_owned()
}

/// Where `program` is found on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    path_folders().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The folders of PATH.
pub(crate) fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
}
