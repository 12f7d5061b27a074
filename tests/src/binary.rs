use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::Deserialize;

use crate::place::Place;

/// The executable of an example, built once by each test process and up to date.
pub(crate) fn example(name: &str) -> Result<&'static Path, String> {
    static EXAMPLES: OnceLock<Result<HashMap<String, PathBuf>, String>> = OnceLock::new();
    let built = EXAMPLES.get_or_init(build);
    let examples = built.as_ref().map_err(String::clone)?;
    let binary = examples.get(name);
    Ok(binary.ok_or_else(|| format!("cargo names no executable of the example {name}"))?)
}

/// Those that tests run.
const EXAMPLES: [&str; 4] = ["counter", "lock", "replicas", "web"];

/// Builds with the profile, the target folder and the selection of features that the tests themselves are built with:
/// after `cargo test --workspace --all-features` nothing is left to do.
fn build() -> Result<HashMap<String, PathBuf>, String> {
    let place = Place::of_this_process()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--all-features", "--locked"])
        .args(EXAMPLES.iter().flat_map(|name| ["--example", name]))
        .args(["--profile", &place.profile])
        .arg("--target-dir")
        .arg(place.target_dir)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cannot build the examples: {said}"));
    }
    Ok(executables(&output.stdout))
}

fn executables(messages: &[u8]) -> HashMap<String, PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_executable_is_found_under_its_name() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"counter"},"executable":"/t/counter"}
{"reason":"build-finished","success":true}
"#;
        let counter = ("counter".to_owned(), PathBuf::from("/t/counter"));
        assert_eq!(executables(messages), HashMap::from([counter]));
        assert_eq!(executables(b"not json"), HashMap::new());
    }
}
