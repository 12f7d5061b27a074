//! Renewing and giving back leases.

use std::sync::Arc;

use async_trait::async_trait;
use redis::{Pipeline, Value};
use session_core::SessionKey;
use session_lock::{Held, LeaseBackend, LeaseTerms, LossCause, Renewal};

use crate::{
    delivery::Server,
    keys::Prefix,
    scripts::{Answer, Code},
};

/// What the keeper needs of the server.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) server: Arc<Server>,
    pub(crate) prefix: Prefix,
}

#[async_trait]
impl LeaseBackend<SessionKey> for Leases {
    async fn renew(&self, leases: &[(Held<SessionKey>, LeaseTerms)]) -> Vec<Renewal> {
        let mut pipeline = Pipeline::with_capacity(leases.len());
        for (held, terms) in leases {
            let keys = self.prefix.keys(&held.resource);
            let ttl = terms.ttl.as_millis().to_string();
            let args: [&[u8]; 2] = [held.owner.as_bytes(), ttl.as_bytes()];
            self.server
                .scripts
                .renew
                .call(&mut pipeline, &[&keys.record, &keys.lock], &args);
        }
        match self.server.call(&pipeline).await {
            Ok(answers) => answers.iter().map(renewal).collect(),
            Err(_) => vec![Renewal::Unknown; leases.len()],
        }
    }

    async fn release(&self, leases: &[Held<SessionKey>]) {
        let mut pipeline = Pipeline::with_capacity(leases.len());
        for held in leases {
            let keys = self.prefix.keys(&held.resource);
            let keys = [&*keys.record, &keys.lock, &keys.queue];
            self.server
                .scripts
                .release
                .call(&mut pipeline, &keys, &[held.owner.as_bytes()]);
        }
        // Once more over a new connection; after that the TTL frees them.
        if self.server.call(&pipeline).await.is_err() {
            self.server.call(&pipeline).await.ok();
        }
    }
}

fn renewal(answer: &Value) -> Renewal {
    match Answer::read(answer).map(|answer| answer.code) {
        Some(Code::Done) => Renewal::Extended,
        Some(Code::NotOwner) => Renewal::Lost(LossCause::Stolen),
        Some(Code::NoRecord) => Renewal::Lost(LossCause::Gone),
        _ => Renewal::Unknown,
    }
}
