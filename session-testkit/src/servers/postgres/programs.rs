use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServerError;

/// The folder of PostgreSQL's programs, and the user that they run as.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// `None`: as this process.
    pub(super) user: Option<User>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Programs {
    pub(super) fn find() -> Result<Self, ServerError> {
        let in_path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&in_path).chain(of_debian());
        let folder = folders.into_iter().find(|folder| {
            ["initdb", "postgres"]
                .iter()
                .all(|name| folder.join(name).exists())
        });
        let folder = folder.ok_or(ServerError::NoPostgres)?;
        let is_root = rustix::process::geteuid().is_root();
        let user = is_root.then(unprivileged).transpose()?;
        Ok(Self { folder, user })
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The newest version first.
fn of_debian() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<_> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(version_of(folder)));
    folders
}

fn version_of(folder: &Path) -> Option<u32> {
    let version = folder.parent()?.file_name()?.to_str()?;
    version.parse().ok()
}

/// The user that PostgreSQL's own packages make.
fn unprivileged() -> Result<User, ServerError> {
    Ok(User {
        uid: id("-u")?,
        gid: id("-g")?,
    })
}

fn id(kind: &str) -> Result<u32, ServerError> {
    let output = Command::new("id")
        .args([kind, "postgres"])
        .output()
        .map_err(ServerError::io("ask for the user postgres"))?;
    let number = String::from_utf8_lossy(&output.stdout).trim().parse();
    number.map_err(|_no_number| ServerError::Tool {
        tool: "id postgres".to_owned(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let version =
            |name: &str| version_of(&Path::new("/usr/lib/postgresql").join(name).join("bin"));
        assert!(version("15") > version("9"));
        assert_eq!(version("common"), None);
    }
}
