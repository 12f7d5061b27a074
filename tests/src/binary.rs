use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::Deserialize;

/// The counter's executable, built once by each test process and up to date.
pub(crate) fn counter() -> Result<&'static Path, &'static str> {
    static COUNTER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = COUNTER.get_or_init(build);
    built.as_deref().map_err(String::as_str)
}

/// Builds with the profile, the target folder and the selection of features that the tests themselves are built with:
/// after `cargo test --workspace --all-features` nothing is left to do.
fn build() -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let place = Place::of(&this)
        .ok_or_else(|| format!("{} is not in a target folder of cargo", this.display()))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--all-features", "--locked"])
        .args(["--example", "counter", "--profile", place.profile])
        .arg("--target-dir")
        .arg(place.target_dir)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cannot build the example counter: {said}"));
    }
    executable(&output.stdout).ok_or_else(|| "cargo names no executable of the counter".to_owned())
}

/// Where an executable of a test stands: `<target_dir>/<profile>/deps/<name>`.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    target_dir: &'a Path,
    profile: &'a str,
}

impl<'a> Place<'a> {
    fn of(test: &'a Path) -> Option<Self> {
        let profile_dir = test.parent()?.parent()?;
        let profile = match profile_dir.file_name()?.to_str()? {
            "debug" => "dev",
            profile => profile,
        };
        Some(Self {
            target_dir: profile_dir.parent()?,
            profile,
        })
    }
}

fn executable(messages: &[u8]) -> Option<PathBuf> {
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
        .filter(|message| matches!(&message.target, Some(target) if target.name == "counter"))
        .find_map(|message| message.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_test_tells_its_profile_and_target_folder() {
        let place =
            |path| Place::of(Path::new(path)).map(|place| (place.target_dir, place.profile));
        let target = Path::new("/p/target");
        assert_eq!(place("/p/target/debug/deps/it-1f"), Some((target, "dev")));
        assert_eq!(
            place("/p/target/release/deps/it-1f"),
            Some((target, "release"))
        );
        assert_eq!(place("it"), None);
    }

    #[test]
    fn the_executable_is_that_of_the_counter() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"counter"},"executable":"/t/counter"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/counter")));
        assert_eq!(executable(b"not json"), None);
    }
}
