//! Who runs Postgres when we are root, which it refuses to be, and where that user can keep data.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::{User, geteuid};

use crate::{Error, Progress, folder, tool};

const TEST_PATIENCE: Duration = Duration::from_secs(10);

/// The user that a server of ours becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// None unless we are root. Whoever owns existing data goes on with it.
    pub(crate) fn for_data(wanted: &Path) -> Result<Option<Self>, Error> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        if let Ok(owner) = fs::metadata(wanted)
            && owner.uid() != 0
        {
            return Ok(Some(Self { uid: owner.uid(), gid: owner.gid() }));
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
            .ok_or(Error::NoAccount)
    }

    pub(crate) fn give(self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// Asks the system instead of reading modes: groups and access lists count too.
    async fn can_search(self, folder: &Path) -> bool {
        let mut test = Command::new("/bin/sh");
        test.args(["-c", r#"test -x "$1""#, "sh"]).arg(folder).current_dir("/");
        test.uid(self.uid).gid(self.gid);
        tool::run(test, TEST_PATIENCE).await.is_ok_and(|output| output.status.success())
    }
}

/// Where the data for `wanted` lies: there, if the account can reach it, else in a folder under
/// /var/tmp that `wanted` links to.
pub(crate) async fn place(
    wanted: &Path,
    account: Option<&Account>,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let Some(account) = account else { return Ok(wanted.to_owned()) };
    if wanted.is_symlink() {
        return Ok(folder::real(wanted));
    }
    if account.can_search(wanted.parent().unwrap_or(wanted)).await {
        return Ok(wanted.to_owned());
    }

    let mut hasher = DefaultHasher::new();
    wanted.hash(&mut hasher);
    let elsewhere = PathBuf::from(format!("/var/tmp/saga-postgres-{:016x}", hasher.finish()));
    if let Ok(found) = elsewhere.symlink_metadata() {
        // Anybody may write to /var/tmp, so what lies there may be a trap.
        if found.uid() != account.uid || !found.is_dir() {
            let why = "somebody else made it".to_owned();
            return Err(Error::ForeignFolder { folder: elsewhere, why });
        }
        // Whoever removed the link wanted the data gone.
        super::stop_orphan(&elsewhere);
        folder::wipe(&elsewhere)?;
    }
    // An empty folder in the link's place is no loss.
    let _ = fs::remove_dir(wanted);
    symlink(&elsewhere, wanted)
        .map_err(Error::io(format!("linking {wanted:?} to {elsewhere:?}")))?;
    progress.tell(&format!(
        "Postgres keeps its data in {}: the user it runs as cannot reach {}",
        elsewhere.display(),
        wanted.display()
    ));
    Ok(elsewhere)
}
