use std::{fmt, str::FromStr};

use serde::Serialize;

/// What the sessions stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Topology {
    /// One Redis.
    Single,
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "single" => Ok(Self::Single),
            "cluster" | "sentinel" => Err(format!(
                "the faults of a {name} are not built yet; what is there: single"
            )),
            other => Err(format!(
                "there is no topology {other}; what is there: single"
            )),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single => f.write_str("single"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        assert_eq!("single".parse(), Ok(Topology::Single));
        for name in ["cluster", "sentinel"] {
            let refused = name.parse::<Topology>().unwrap_err();
            assert!(
                refused.contains(name) && refused.contains("not built"),
                "{refused}"
            );
        }
        assert!("ring".parse::<Topology>().is_err());
    }
}
