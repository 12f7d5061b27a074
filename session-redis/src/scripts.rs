//! The only place that loads scripts, and what their answers mean.

use redis::{Pipeline, Value};
use session_core::StoreTime;

/// A script as the server knows it: by its SHA-1.
#[derive(Debug)]
pub(crate) struct Script {
    source: String,
    sha: String,
}

/// All scripts of the store.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) commit: Script,
    pub(crate) update: Script,
    pub(crate) create: Script,
    pub(crate) destroy: Script,
    pub(crate) release: Script,
    pub(crate) renew: Script,
    pub(crate) touch: Script,
    pub(crate) wait: Script,
    pub(crate) leave: Script,
}

macro_rules! script {
    ($prelude:expr, $name:literal) => {
        Script::new(include_str!(concat!("../lua/", $name, ".lua")), $prelude)
    };
}

/// What scripts have in common, put in where a line says `-- include NAME`: after the quick way through the script,
/// if it is not needed there.
const LIBRARIES: [(&str, &str); 6] = [
    ("now", include_str!("../lua/lib/now.lua")),
    ("header", include_str!("../lua/lib/header.lua")),
    ("digest", include_str!("../lua/lib/digest.lua")),
    ("replace", include_str!("../lua/lib/replace.lua")),
    ("touch", include_str!("../lua/lib/touch.lua")),
    ("wake", include_str!("../lua/lib/wake.lua")),
];

impl Scripts {
    /// `prelude` stands before each script: empty but in tests, which make single calls of a script fail with it.
    pub(crate) fn new(prelude: &str) -> Self {
        Self {
            commit: script!(prelude, "commit"),
            update: script!(prelude, "update"),
            create: script!(prelude, "create"),
            destroy: script!(prelude, "destroy"),
            release: script!(prelude, "release"),
            renew: script!(prelude, "renew"),
            touch: script!(prelude, "touch"),
            wait: script!(prelude, "wait"),
            leave: script!(prelude, "leave"),
        }
    }

    /// Makes every script known to the server.
    pub(crate) fn load_all(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        for script in self.all() {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(&script.source);
        }
        pipeline
    }

    /// The same calls with the text of the scripts in place of their hashes, for a server that has lost them.
    pub(crate) fn spelled_out(&self, pipeline: &Pipeline) -> Pipeline {
        let mut spelled = Pipeline::with_capacity(pipeline.len());
        for command in pipeline.cmd_iter() {
            let mut words = command.args_iter().filter_map(|word| match word {
                redis::Arg::Simple(word) => Some(word),
                _ => None,
            });
            let (name, first) = (words.next().unwrap_or_default(), words.next());
            let source = self
                .all()
                .into_iter()
                .find(|script| Some(script.sha.as_bytes()) == first);
            let command = match source {
                Some(script) => spelled.cmd("EVAL").arg(&script.source),
                None => spelled.add_command(redis::Cmd::new()).arg(name).arg(first),
            };
            words.for_each(|word| {
                command.arg(word);
            });
        }
        spelled
    }

    fn all(&self) -> [&Script; 9] {
        [
            &self.commit,
            &self.update,
            &self.create,
            &self.destroy,
            &self.release,
            &self.renew,
            &self.touch,
            &self.wait,
            &self.leave,
        ]
    }
}

impl Script {
    fn new(source: &str, prelude: &str) -> Self {
        let include = |line: &str| {
            let name = line.trim().strip_prefix("-- include ");
            let library = LIBRARIES.iter().find(|(library, _)| Some(*library) == name);
            library.map_or_else(|| format!("{line}\n"), |(_, text)| (*text).to_owned())
        };
        let source = prelude.to_owned() + &source.lines().map(include).collect::<String>();
        let sha = sha1_smol::Sha1::from(&source).digest().to_string();
        Self { source, sha }
    }

    /// Adds a call of the script to a pipeline.
    pub(crate) fn call(&self, pipeline: &mut Pipeline, keys: &[&str], args: &[&[u8]]) {
        let call = pipeline.cmd("EVALSHA").arg(&self.sha).arg(keys.len());
        for key in keys {
            call.arg(key);
        }
        for arg in args {
            call.arg(arg);
        }
    }
}

/// What a script answered: `{code, now_ms, extra}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) now: StoreTime,
    /// `forgotten`, or what the script says it is.
    pub(crate) extra: i64,
}

/// The codes of all scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Done,
    DoneBefore,
    Nothing,
    NoRecord,
    Ended,
    NotOwner,
    OtherVersion,
    WrongType,
    Unreadable,
    Expired,
    NoStage,
    Locked,
    ForeignLock,
}

impl Answer {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let Value::Array(parts) = value else {
            return None;
        };
        let [Value::Int(code), Value::Int(now), Value::Int(extra)] = parts[..] else {
            return None;
        };
        let code = match code {
            1 => Code::Done,
            2 => Code::DoneBefore,
            0 => Code::Nothing,
            -1 => Code::NoRecord,
            -2 => Code::Ended,
            -3 => Code::NotOwner,
            -4 => Code::OtherVersion,
            -5 => Code::WrongType,
            -6 => Code::Unreadable,
            -7 => Code::Expired,
            -8 => Code::NoStage,
            -9 => Code::ForeignLock,
            -10 => Code::Locked,
            _ => return None,
        };
        Some(Self {
            code,
            now: StoreTime::from_millis(u64::try_from(now).ok()?),
            extra,
        })
    }
}
