use redis::{Cmd, Pipeline};

/// Lua that reads the server's time: a library of scripts.
pub const NOW: (&str, &str) = ("now", include_str!("../../lua/lib/now.lua"));

/// A script as the server knows it: by its SHA-1.
#[derive(Debug)]
pub struct Script {
    source: String,
    sha: String,
}

impl Script {
    /// The script `source`, with `prelude` before it. A line `-- include NAME` is replaced by the library of that name.
    pub fn new(source: &str, prelude: &str, libraries: &[(&str, &str)]) -> Self {
        let source = prelude.to_owned() + &expanded(source, libraries);
        let sha = sha1_smol::Sha1::from(&source).digest().to_string();
        Self { source, sha }
    }

    /// Adds the loading of the script to a pipeline.
    pub fn load(&self, pipeline: &mut Pipeline) {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(&self.source);
    }

    /// Adds a call with the text of the script to a pipeline, without arguments.
    pub fn spell(&self, pipeline: &mut Pipeline, keys: &[&[u8]]) {
        pipeline
            .add_command(self.command(true, keys.len(), 0))
            .arg(keys);
    }

    /// The beginning of a call: with the text of the script in place of its hash, if it is `spelled` out.
    pub(super) fn command(&self, spelled: bool, keys: usize, length: usize) -> Cmd {
        let (name, script) = if spelled {
            ("EVAL", &self.source)
        } else {
            ("EVALSHA", &self.sha)
        };
        let mut command = Cmd::with_capacity(4 + keys * 4, script.len() + length + 16);
        command.arg(name).arg(script).arg(keys);
        command
    }
}

/// The text with each line `-- include NAME` replaced by the library of that name.
fn expanded(text: &str, libraries: &[(&str, &str)]) -> String {
    let line = |line: &str| {
        let name = line.trim().strip_prefix("-- include ");
        let library = libraries.iter().find(|(library, _)| Some(*library) == name);
        library.map_or_else(
            || format!("{line}\n"),
            |(_, text)| expanded(text, libraries),
        )
    };
    text.lines().map(line).collect()
}
