use redis::{Cmd, RedisResult};
use session_testkit::servers::RedisServer;

use crate::TestResult;

/// Reads every key that matches `pattern` with a command of its own; a key that has gone meanwhile is `None`.
pub(crate) async fn read(
    server: &RedisServer,
    pattern: &str,
    command: impl Fn(&str) -> Cmd,
) -> TestResult<Vec<(String, Option<Vec<u8>>)>> {
    let keys = server.keys(pattern).await?;
    let mut pipeline = redis::pipe();
    for key in &keys {
        pipeline.add_command(command(key));
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = server.connection().await?;
    let values: RedisResult<Vec<_>> = pipeline.query_async(&mut connection).await;
    Ok(keys.into_iter().zip(values?).collect())
}
