use std::time::Duration;

use session_lock::{Drift, LeaseTerms, Moment, Ttl};

use crate::rules::Expiry;

/// From when on the validity of a lease is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// From before the first byte was sent.
    FromSending,
    /// From when the answer was there.
    FromReply,
}

impl Expiry {
    /// When locks run out, as seen from leases whose validity is counted like this: after it has ended, or at any time.
    ///
    /// Tried with short and long TTLs, fast and slow messages, and clocks that are as wrong as is allowed for.
    pub fn where_validity_is(counted: Counted) -> Self {
        let ends_first = |ttl: &Duration| {
            let quarters = || (0..=8).map(|quarters| *ttl * quarters / 4);
            let mut messages =
                quarters().flat_map(|there| quarters().map(move |back| (there, back)));
            messages.all(|(there, back)| ends_before_expiry(*ttl, there, back, counted))
        };
        let ttls = [
            Ttl::MIN,
            Duration::from_secs(1),
            Duration::from_secs(8),
            Ttl::MAX,
        ];
        if ttls.iter().all(ends_first) {
            Self::AfterValidity
        } else {
            Self::AnyTime
        }
    }
}

/// Whether the validity is over when the lock runs out, for a request that took `there` and an answer that took `back`.
fn ends_before_expiry(ttl: Duration, there: Duration, back: Duration, counted: Counted) -> bool {
    let wrong = [-CLOCKS_WRONG_BY, 0.0, CLOCKS_WRONG_BY];
    let clocks = wrong
        .iter()
        .flat_map(|client| wrong.map(|node| (1.0 + client, 1.0 + node)));
    let Ok(ttl) = Ttl::new(ttl) else { return false };
    let terms = LeaseTerms {
        ttl,
        drift: Drift::default(),
        longest_hold: Ttl::MAX,
    };
    clocks.into_iter().all(|(client, node)| {
        let from = match counted {
            Counted::FromSending => Duration::ZERO,
            Counted::FromReply => (there + back).mul_f64(client),
        };
        let until = terms.valid_until(Moment::from_origin(from));
        let validity = until.saturating_since(Moment::from_origin(Duration::ZERO));
        // A server may be one of its milliseconds early.
        let stands = ttl.get() - Duration::from_millis(1);
        validity.div_f64(client) <= there + stands.div_f64(node)
    })
}

/// Two clocks of which each is wrong by so much stay within the allowance for drift.
const CLOCKS_WRONG_BY: f64 = 0.0045;
