use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};

use crate::{TestResult, place::Place};

/// The Python of the environment `name`, in which the `requirements` are installed, as `pip` takes them; installs them if
/// need be.
///
/// The environments stay in the target folder for later runs.
pub(crate) fn with(name: &str, requirements: &str) -> TestResult<PathBuf> {
    let dir = Place::of_this_process()?
        .target_dir
        .join("foreign-clients")
        .join(name);
    fs::create_dir_all(&dir)?;
    // Other test processes, and other threads of this one, wait until it is there.
    let lock = File::create(dir.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;

    let python = dir.join("bin").join("python");
    let installed = format!("{}\n{requirements}", version()?);
    let stamp = dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == installed) {
        return Ok(python);
    }
    install(requirements, &dir, &python)
        .map_err(|error| format!("cannot install {name}: {error}; {HELP}"))?;
    fs::write(stamp, installed)?;
    Ok(python)
}

const HELP: &str = "these tests need python3 with its module venv (apt-get install python3-venv) and the packages \
                    of PyPI, or LATCHKEY_SKIP=foreign-clients";

fn version() -> Result<String, String> {
    let version = output(Command::new("python3").arg("--version"));
    version.map_err(|error| format!("{error}; {HELP}"))
}

fn install(requirements: &str, dir: &Path, python: &Path) -> Result<(), String> {
    output(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(dir),
    )?;
    let list = dir.join("requirements.txt");
    fs::write(&list, requirements).map_err(|error| error.to_string())?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--retries",
        "2",
    ];
    output(Command::new(python).args(pip).arg("-r").arg(list)).map(drop)
}

/// What a program printed, or the last line of what it complained of.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.trim().lines().last().unwrap_or_default();
    Err(format!("{program}: {}, {last}", output.status))
}
