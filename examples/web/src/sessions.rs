use std::{net::SocketAddr, time::Duration};

use axum::extract::ConnectInfo;
use latchkey::{
    MemoryStore, MemoryUseCounter, RedisStore, Sessions, SessionsBuilder,
    web::{ClientAddress, LoginLimits},
};

use crate::BoxError;

/// The sessions of this server, and how often logins may fail: shared with others on Redis, or its own.
pub(crate) async fn open(redis: Option<&str>) -> Result<(Sessions, LoginLimits), BoxError> {
    let (builder, limits) = match redis {
        Some(url) => {
            let store = RedisStore::connect(url).await?;
            let limits = LoginLimits::new(store.clone(), addresses());
            (Sessions::builder(store), limits)
        }
        None => {
            let limits = LoginLimits::new(MemoryUseCounter::new(), addresses());
            (Sessions::builder(MemoryStore::new()), limits)
        }
    };
    Ok((with_settings(builder).build()?, limits))
}

/// The other end of the connection. A service behind a proxy says here which one it trusts.
fn addresses() -> ClientAddress {
    ClientAddress::new(|extensions| {
        let peer: &ConnectInfo<SocketAddr> = extensions.get()?;
        Some(peer.0.ip())
    })
}

// Requests may hold a cart for 5 s here and a replica may be killed while it does, and those behind are to get their turn
// all the same: they wait for longer than a lease. The lab sends hundreds at once.
const fn with_settings(builder: SessionsBuilder) -> SessionsBuilder {
    builder
        .lease(Duration::from_secs(5))
        .wait_timeout(Duration::from_secs(20))
        .max_waiters(1024)
}
