use std::error::Error;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

/// Long for a server that answers, short for a test that expects silence.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// Makes one test per kind of server out of each function.
macro_rules! on_both_kinds {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod containers {
            $(
                $(#[$attribute])*
                #[tokio::test]
                async fn $name() -> crate::support::TestResult {
                    super::$name(session_testkit::servers::ServerKind::Container).await
                }
            )*
        }
        mod processes {
            $(
                $(#[$attribute])*
                #[tokio::test]
                async fn $name() -> crate::support::TestResult {
                    super::$name(session_testkit::servers::ServerKind::Process).await
                }
            )*
        }
    };
}
pub(crate) use on_both_kinds;

/// A connection that waits longer than any test expects silence.
pub(crate) async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// Marks the process in which a test plays its second part.
const CHILD: &str = "LATCHKEY_TESTKIT_CHILD";

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the named test again in a process of its own, with other environment variables.
pub(crate) fn spawn_child(test: &str, variables: &[(&str, &str)]) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Runs the named test as [`spawn_child`] does, and fails where it fails.
pub(crate) fn passes_in_child(test: &str, variables: &[(&str, &str)]) -> TestResult {
    let output = spawn_child(test, variables)?.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "no such test: {test}");
    Ok(())
}
