use std::time::Duration;

use latchkey::{MemoryStore, RedisStore, Sessions, SessionsBuilder};

use crate::BoxError;

/// The sessions of this server: shared with others on Redis, or its own.
pub(crate) async fn open(redis: Option<&str>) -> Result<Sessions, BoxError> {
    let builder = match redis {
        Some(url) => with_settings(Sessions::builder(RedisStore::connect(url).await?)),
        None => with_settings(Sessions::builder(MemoryStore::new())),
    };
    Ok(builder.build()?)
}

// Requests may hold a cart for 5 s here and a replica may be killed while it does, and those behind are to get their turn
// all the same: they wait for longer than a lease. The lab sends hundreds at once.
const fn with_settings(builder: SessionsBuilder) -> SessionsBuilder {
    builder
        .lease(Duration::from_secs(5))
        .wait_timeout(Duration::from_secs(20))
        .max_waiters(1024)
}
