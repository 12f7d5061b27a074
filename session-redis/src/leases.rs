//! Renewing and giving back leases.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use session_core::SessionKey;
use session_lock::{Held, LeaseBackend, LeaseTerms, LossCause, Renewal, link::Entry};

use crate::{delivery::Server, keys::Prefix, scripts::Code};

/// What the keeper needs of the server.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) server: Arc<Server>,
    pub(crate) prefix: Prefix,
}

#[async_trait]
impl LeaseBackend<SessionKey> for Leases {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        let renewals = leases.iter().map(|(held, terms)| async move {
            let keys = self.prefix.keys(&held.resource);
            let ttl = terms.ttl.as_millis().to_string();
            let args: [&[u8]; 2] = [held.owner.as_bytes(), ttl.as_bytes()];
            let renew = &self.server.scripts.renew;
            let renew = Entry::new(renew, &keys.all()[..2], &args);
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
            let args: [&[u8]; 1] = [held.owner.as_bytes()];
            let release = Entry::new(&self.server.scripts.release, &keys.all(), &args);
            // Once more over a new connection; after that the TTL frees it.
            if self.server.run(&|| release.clone().into()).await.is_err() {
                self.server.run(&|| release.clone().into()).await.ok();
            }
        });
        join_all(releases).await;
    }
}

pub(crate) const fn renewal(code: Code) -> Renewal {
    match code {
        Code::Done => Renewal::Extended,
        Code::NotOwner => Renewal::Lost(LossCause::Stolen),
        Code::NoRecord => Renewal::Lost(LossCause::Gone),
        _ => Renewal::Unknown,
    }
}
