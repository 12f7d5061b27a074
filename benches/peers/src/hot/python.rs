use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::rival::Rival;

/// The Python that the rivals from there run in.
pub(super) struct Python {
    program: PathBuf,
    /// The versions of the libraries, or why they cannot take part.
    found: Result<String, String>,
}

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/hot.py");

const VERSIONS: &str = "\
from importlib.metadata import version
import redis, redis_lock, sys
print('Python', sys.version.split()[0], *('%s %s' % (name, version(name)) for name in ('redis', 'python-redis-lock')), sep=', ')";

impl Python {
    pub(super) async fn find(program: &Path) -> Self {
        let asked = Command::new(program).args(["-c", VERSIONS]).output().await;
        let found = match asked {
            Ok(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            Ok(output) => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                let last = complaint.trim().lines().last().unwrap_or_default();
                Err(last.to_owned())
            }
            Err(error) => Err(format!("{}: {error}", program.display())),
        };
        Self {
            program: program.to_owned(),
            found,
        }
    }

    pub(super) fn runs(&self, rival: Rival) -> bool {
        !rival.is_python() || self.found.is_ok()
    }

    /// For the report.
    pub(super) fn note(&self) -> String {
        match &self.found {
            Ok(versions) => {
                format!("The rivals in Python, printed beside and not compared: {versions}.")
            }
            Err(reason) => format!("Left out: redis-py and python-redis-lock ({reason})."),
        }
    }

    pub(super) fn command(&self, rival: Rival, url: &str, record: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([DRIVER, rival.name(), url, record]);
        command
    }
}
