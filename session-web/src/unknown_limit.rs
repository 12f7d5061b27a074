use std::{
    collections::{HashMap, HashSet},
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{ClientAddress, SessionError, measure};
use http::Request;
use session_core::{Allowance, Clock, CountedName, Limit, Moment, SystemClock, UseCounter};

/// How many IDs that name no session an address may send, for
/// [`SessionLayer::limit_unknown`](crate::SessionLayer::limit_unknown): 100 a minute, in all replicas together. Beyond that,
/// its requests that use their session get 429 with `Retry-After` and nothing is asked of any store, until the window ends.
///
/// What is no ID, has a seal or signature that is broken or of a retired key, and what names no session that lives, count alike. The same
/// one counts once: a browser that goes on sending the cookie of a session that has ended guesses nothing. When the counter
/// fails, nobody is refused: whether a session lives is asked of its store, which then mostly fails too.
/// Source: ASVS 5.0, 2.4.1.
#[derive(Clone)]
#[must_use]
pub struct UnknownLimit {
    counter: Arc<dyn UseCounter>,
    addresses: ClientAddress,
    limit: Limit,
    here: Arc<Mutex<Here>>,
    clock: Arc<dyn Clock>,
}

/// What this process remembers, so that it need not ask.
#[derive(Default)]
struct Here {
    /// Who is over the limit, and until when.
    refused: HashMap<CountedName, Moment>,
    /// What was counted already: of this time and of the time before.
    counted: [HashSet<(CountedName, u64)>; 2],
    changes: Option<Moment>,
}

// About 1 MiB. An attacker who fills it is counted again, not less.
const MOST: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

fn usual() -> Limit {
    Limit::new(100, MINUTE).expect("the numbers are in range")
}

impl UnknownLimit {
    /// Counted by `counter` (a `RedisStore` counts for all replicas), for clients from `addresses`.
    pub fn new(counter: impl UseCounter, addresses: ClientAddress) -> Self {
        Self {
            counter: Arc::new(counter),
            addresses,
            limit: usual(),
            here: Arc::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Another limit. Default: 100 a minute.
    pub const fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(crate) fn client<B>(&self, request: &Request<B>) -> CountedName {
        self.addresses.name("unknown IDs from", request)
    }

    /// Whether the client may ask, as far as this process knows.
    pub(crate) fn check(&self, client: &CountedName) -> Result<(), SessionError> {
        let now = self.clock.now();
        let until = self.here().refused.get(client).copied();
        let left = until.map_or(Duration::ZERO, |until| until.saturating_since(now));
        if left.is_zero() {
            return Ok(());
        }
        measure::limit("unknown", "refused");
        Err(SessionError::TooMany { retry_after: left })
    }

    /// The client has sent something that names no session. `what`: a hash of it.
    pub(crate) async fn count(&self, client: CountedName, what: u64) -> Result<(), SessionError> {
        if !self.is_first(client, what) {
            return Ok(());
        }
        match self.counter.take(&client, &self.limit).await {
            Ok(Allowance::Refused { retry_after }) => {
                measure::limit("unknown", "refused");
                self.refuse(client, retry_after);
                Err(SessionError::TooMany { retry_after })
            }
            Ok(_) => {
                measure::limit("unknown", "granted");
                Ok(())
            }
            Err(error) => {
                measure::limit("unknown", "failed");
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, "unknown session IDs cannot be counted");
                Ok(())
            }
        }
    }

    fn is_first(&self, client: CountedName, what: u64) -> bool {
        let now = self.clock.now();
        let mut here = self.here();
        let is_over = here.changes.is_none_or(|changes| changes <= now);
        if is_over || here.counted[0].len() >= MOST {
            here.changes = Some(now + self.limit.longest());
            here.counted[1] = mem::take(&mut here.counted[0]);
        }
        let was_counted = here.counted[1].contains(&(client, what));
        here.counted[0].insert((client, what)) && !was_counted
    }

    fn refuse(&self, client: CountedName, retry_after: Duration) {
        let now = self.clock.now();
        let mut here = self.here();
        if here.refused.len() >= MOST {
            here.refused.retain(|_, until| *until > now);
        }
        if here.refused.len() >= MOST {
            here.refused.clear();
        }
        here.refused.insert(client, now + retry_after);
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UnknownLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnknownLimit")
            .field("limit", &self.limit)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
