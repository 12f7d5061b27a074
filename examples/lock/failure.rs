use std::{error::Error, fmt, io};

use latchkey::lock::{
    AcquireError, ConfigError, Fault, NodeFault, ReleaseError, ResourceNameLength,
};

/// What went wrong: a word for scripts, a line for people.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    text: String,
}

impl Failure {
    fn new(kind: &'static str, error: &(dyn Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        Self {
            kind,
            text: in_one_line(&text),
        }
    }

    /// The arguments make no sense.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.to_string();
        // The first paragraph says what is wrong; the others repeat how it is used.
        let text = text.split("\n\n").next().unwrap_or_default();
        let text = text.trim_start_matches("error: ");
        Self {
            kind: "usage",
            text: in_one_line(text),
        }
    }

    pub(crate) fn interrupted() -> Self {
        let text = "told to end while it was asking for the lock".to_owned();
        Self {
            kind: "interrupted",
            text,
        }
    }
}

/// Words are separated by single spaces: a line stays a line.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let kind = match &error {
            ConfigError::NoNodes => "no_nodes",
            ConfigError::DuplicateNode { .. } => "duplicate_node",
            ConfigError::Ttl(_) => "ttl",
            _ => "config",
        };
        Self::new(kind, &error)
    }
}

impl From<ResourceNameLength> for Failure {
    fn from(error: ResourceNameLength) -> Self {
        Self::new("resource", &error)
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        let kind = match &error {
            AcquireError::NoQuorum { .. } => "no_quorum",
            AcquireError::WrongType { .. } => "wrong_type",
            _ => "acquire",
        };
        Self::new(kind, &error)
    }
}

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        Self::new("release", &error)
    }
}

impl From<NodeFault> for Failure {
    fn from(error: NodeFault) -> Self {
        let kind = match error.fault() {
            Fault::Unsuitable(_) => "node_unsuitable",
            _ => "node",
        };
        Self::new(kind, &error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new("io", &error)
    }
}
