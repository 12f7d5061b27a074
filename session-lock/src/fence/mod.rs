//! Checks of fencing tokens, for whatever a lock protects: they refuse a holder who comes too late.
//!
//! A lock alone cannot stop a holder that was paused, or whose request was delayed on the way: it acts when others hold
//! the lock already. Only what the lock protects can refuse it, by remembering the largest
//! [token](crate::FencingToken) that it has seen. **Check and act have to be one step**; between two steps the holder can
//! be paused again.
//!
//! Source: Martin Kleppmann, "How to do distributed locking" (2016), "Making the lock safe with fencing".
//!
//! | What is protected | Check |
//! |---|---|
//! | something in one process, or behind it | [`HighestTokens`] |
//! | a value in Redis | `RedisFence`, with feature `redis` |
//! | anything else in Redis, any client and language | the scripts in [`lua`] |
//! | rows in PostgreSQL | the statements of [`SqlFence`] |
//!
//! # Larger, or the same again
//! By default only a token *larger* than all before is accepted: each lease gets through once. A holder that writes
//! several times under one lease needs [`Accept::LargerOrSame`]. Its own writes can then overtake each other on the way;
//! somebody else's cannot.
//!
//! # When the token is too small
//! [`StaleToken`] says which one was seen. Usually somebody else holds the lock by now: stop. If the nodes of the lock
//! count from below (they have lost their fences, and the clock floor is off), acquire with
//! [`AcquireOptions::floor`](crate::AcquireOptions::floor) at that token.
//!
//! ```
//! use session_lock::{FencingToken, Resource, fence::HighestTokens};
//!
//! let (tokens, file) = (HighestTokens::new(), Resource::new("report.pdf")?);
//! // The second holder writes first, because the first one was paused.
//! tokens.accept_then(&file, FencingToken(34), || { /* write the file */ })?;
//! let late = tokens.accept_then(&file, FencingToken(33), || unreachable!());
//! assert_eq!(late.unwrap_err().highest, FencingToken(34));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod lua; // the scripts as text
mod memory; // in this process
#[cfg(feature = "redis")]
mod redis_fence; // values in Redis
mod sql; // rows in PostgreSQL

pub use memory::HighestTokens;
#[cfg(feature = "redis")]
pub use redis_fence::{FenceError, RedisFence, RedisFenceBuilder};
pub use sql::SqlFence;

use crate::FencingToken;

/// Which tokens are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accept {
    /// One that is larger than every token before: each lease gets through once.
    #[default]
    Larger,
    /// The largest one so far is accepted again: the holder of one lease may come several times.
    LargerOrSame,
}

impl Accept {
    /// Whether `token` is accepted where `highest` is the largest one so far.
    pub fn accepts(self, token: FencingToken, highest: FencingToken) -> bool {
        match self {
            Self::Larger => token > highest,
            Self::LargerOrSame => token >= highest,
        }
    }
}

/// A fencing token that was refused: a larger one has been seen, or, where only a larger one is accepted, the same.
///
/// The same token can only be one's own: no two leases of a lock have one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fencing token {} is refused, the largest one so far is {}", token.0, highest.0)]
#[expect(clippy::exhaustive_structs, reason = "all there is to say")]
pub struct StaleToken {
    /// The one that was refused.
    pub token: FencingToken,
    /// The largest one so far.
    pub highest: FencingToken,
}
