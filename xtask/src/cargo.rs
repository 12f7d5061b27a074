use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Cargo of the toolchain in use, at the root of the workspace, with nothing to read from.
pub(crate) fn cargo(arguments: &str) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .args(arguments.split_whitespace())
        .current_dir(root())
        .stdin(Stdio::null());
    command
}

/// Where cargo puts what it makes.
pub(crate) fn target_dir() -> PathBuf {
    let configured = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(configured)
}

pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
