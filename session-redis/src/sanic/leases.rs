//! Renewing and giving back leases of shared sessions.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use session_core::SessionKey;
use session_lock::{Held, LeaseBackend, LeaseTerms, Renewal, link::Entry};

use super::scripts::Scripts;
use crate::{delivery::Server, keys::Prefix, leases::renewal};

/// What the keeper needs of the server.
#[derive(Debug)]
pub(super) struct Leases {
    pub(super) server: Arc<Server>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) prefix: Prefix,
    /// How long heads live at least, in milliseconds.
    pub(super) head_ttl_ms: Arc<str>,
}

#[async_trait]
impl LeaseBackend<SessionKey> for Leases {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        let renewals = leases.iter().map(|(held, terms)| async move {
            let keys = self.prefix.keys(&held.resource);
            let ttl = terms.ttl.as_millis().to_string();
            let args = [
                &held.owner.as_bytes()[..],
                ttl.as_bytes(),
                self.head_ttl_ms.as_bytes(),
            ];
            let renew = Entry::new(&self.scripts.renew, &keys.shared(), &args);
            match self.server.run(&|| renew.clone().into()).await {
                Ok(answer) => renewal(answer.code),
                Err(_) => Renewal::Unknown,
            }
        });
        join_all(renewals).await
    }

    async fn release(&self, leases: &[Held<SessionKey>]) {
        let releases = leases.iter().map(|held| async move {
            let keys = self.prefix.keys(&held.resource);
            let args = [&held.owner.as_bytes()[..], self.head_ttl_ms.as_bytes()];
            let release = Entry::new(&self.scripts.release, &keys.shared(), &args);
            // Once more over a new connection; after that the TTL frees it.
            if self.server.run(&|| release.clone().into()).await.is_err() {
                self.server.run(&|| release.clone().into()).await.ok();
            }
        });
        join_all(releases).await;
    }
}
