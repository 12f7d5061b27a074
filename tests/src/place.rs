use std::{
    env,
    path::{Path, PathBuf},
};

/// Where an executable of a test stands: `<target_dir>/<profile>/deps/<name>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) target_dir: PathBuf,
    pub(crate) profile: String,
}

impl Place {
    /// Of this test process.
    pub(crate) fn of_this_process() -> Result<Self, String> {
        let this = env::current_exe().map_err(|error| error.to_string())?;
        Self::of(&this)
            .ok_or_else(|| format!("{} is not in a target folder of cargo", this.display()))
    }

    fn of(test: &Path) -> Option<Self> {
        let profile_dir = test.parent()?.parent()?;
        let profile = match profile_dir.file_name()?.to_str()? {
            "debug" => "dev",
            profile => profile,
        };
        Some(Self {
            target_dir: profile_dir.parent()?.to_owned(),
            profile: profile.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_test_tells_its_profile_and_target_folder() {
        let place = |path: &str| Place::of(Path::new(path));
        let in_target = |profile: &str| {
            Some(Place {
                target_dir: "/p/target".into(),
                profile: profile.to_owned(),
            })
        };
        assert_eq!(place("/p/target/debug/deps/it-1f"), in_target("dev"));
        assert_eq!(place("/p/target/release/deps/it-1f"), in_target("release"));
        assert_eq!(place("it"), None);
    }
}
