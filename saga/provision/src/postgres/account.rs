//! Who runs Postgres when we are root, which it refuses to be, and where that user can keep data.

use std::fs;
use std::hash::{BuildHasher, RandomState};
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

    // A new name each time: what lies under an old one may be in use, through a link that was moved.
    let name = format!("saga-postgres-{:016x}", RandomState::new().hash_one(wanted));
    let elsewhere = Path::new("/var/tmp").join(name);
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
