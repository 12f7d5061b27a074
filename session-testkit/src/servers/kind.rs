use std::fmt;

use tokio::sync::OnceCell;

use super::{ServerError, image, process};

const SERVERS: &str = "LATCHKEY_TEST_SERVERS";
pub(super) const URL: &str = "LATCHKEY_TEST_REDIS_URL";

/// Where a test server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerKind {
    /// A container of its own, started by `testcontainers` on the host's network.
    ///
    /// The host's network makes ports and cluster addresses the same on both sides; it needs a
    /// Docker daemon on this machine.
    Container,
    /// A private `redis-server` process in a temporary directory.
    Process,
    /// The server named by `LATCHKEY_TEST_REDIS_URL`, shared by all tests.
    Url,
}

impl ServerKind {
    /// The kind that tests run on here: see the [module](super) for the rule.
    ///
    /// Decided once per process.
    ///
    /// # Errors
    /// [`ServerError::NoServer`] when none can be used, [`ServerError::Environment`] when
    /// `LATCHKEY_TEST_SERVERS` holds an unknown word.
    pub async fn selected() -> Result<Self, ServerError> {
        static SELECTED: OnceCell<ServerKind> = OnceCell::const_new();
        SELECTED.get_or_try_init(Self::select).await.copied()
    }

    async fn select() -> Result<Self, ServerError> {
        if let Some(word) = non_empty_var(SERVERS) {
            return Self::from_word(&word);
        }
        let Err(no_container) = image::for_tests().await else {
            return Ok(Self::Container);
        };
        if process::server_version().await.is_some() {
            return Ok(Self::Process);
        }
        if non_empty_var(URL).is_some() {
            return Ok(Self::Url);
        }
        Err(ServerError::NoServer {
            reason: format!("containers: {no_container}; processes: redis-server is not installed"),
        })
    }

    fn from_word(word: &str) -> Result<Self, ServerError> {
        match word {
            "containers" => Ok(Self::Container),
            "processes" => Ok(Self::Process),
            "url" => Ok(Self::Url),
            _ => Err(ServerError::Environment {
                variable: SERVERS,
                found: word.to_owned(),
                expected: "containers, processes or url",
            }),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "containers",
            Self::Process => "processes",
            Self::Url => "url",
        })
    }
}

pub(super) fn non_empty_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_selected_by_the_word_it_prints() {
        for kind in [ServerKind::Container, ServerKind::Process, ServerKind::Url] {
            assert_eq!(ServerKind::from_word(&kind.to_string()).unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_words_that_are_known() {
        let error = ServerKind::from_word("docker").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"LATCHKEY_TEST_SERVERS is "docker"; expected containers, processes or url"#
        );
    }
}
