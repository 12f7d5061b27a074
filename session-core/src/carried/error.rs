use std::time::Duration;

use crate::{BodyFault, Codec, SealingKeyId, StoreError};

/// A record cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadCarriedError {
    /// The client has to get another one.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It could not be found out whether the session was ended.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LoadCarriedError {
    /// Whether trying again can succeed without anybody changing the set-up.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unusable(_) => false,
            Self::Store(fault) => fault.is_retryable(),
        }
    }
}

/// Why a record that a client has sent is not used. The request has no session then.
///
/// For the log: whoever sent it should not learn more than that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It is longer than any record of this store. It was not looked at any further.
    #[error("the record is {len} bytes long, at most {limit} are read")]
    TooLong {
        /// How long it is, in bytes.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It has characters that do not stand in base64, or bits that belong to none.
    #[error("the record is not base64")]
    NotBase64,
    /// It is base64 without padding where there has to be some, or the other way round.
    #[error("the padding of the record's base64 is missing or too much")]
    Padding,
    /// It does not have the parts that a record of this store has.
    #[error("the record does not have the form of this store's records")]
    Malformed,
    /// A newer release wrote it.
    #[error("the record has format version {version}, which this release does not know")]
    Newer {
        /// The version found.
        version: u8,
    },
    /// It says itself that it was signed or sealed in a way that is not accepted, or not at all.
    #[error("the record names an algorithm that is not accepted")]
    WrongAlgorithm,
    /// It was sealed under a key that was not given.
    #[error("the record is sealed under key {id}, which was not given")]
    UnknownKey {
        /// The key that it names.
        id: SealingKeyId,
    },
    /// It was changed, or made under a key that was not given. Which of them, a format whose records do not name their
    /// key cannot tell.
    #[error("the record was changed, or made under another key")]
    NotAuthentic,
    /// It is authentic, and too old.
    #[error("the record ended {since:?} ago")]
    Expired {
        /// How long ago it ended.
        since: Duration,
    },
    /// It is authentic, and from the future: a clock is wrong.
    #[error("the record is from {ahead:?} in the future")]
    FutureDated {
        /// How far ahead it is.
        ahead: Duration,
    },
    /// It is authentic and never ends, and only records that do are accepted.
    #[error("the record does not say when it ends")]
    Endless,
    /// Its session was ended.
    #[error("the session was ended")]
    Ended,
    /// It is authentic, and has a registered claim with a value that makes it invalid.
    #[error("the claim {name:?} has a value that is not accepted")]
    Claim {
        /// Which one.
        name: &'static str,
    },
    /// It is authentic, and no session.
    #[error("the record cannot be read: {reason}")]
    Body {
        /// What is wrong.
        reason: BodyFault,
    },
}

/// A session cannot be carried as it is. It is unchanged, and can be used further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitCarriedError {
    /// The record would be too long for the client to carry.
    #[error("the record would be {len} bytes long, a client carries at most {limit}")]
    TooLarge {
        /// How long it would be, in bytes.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A value stands under a name that means something to whoever else reads the record, and they would refuse the
    /// whole session for it.
    #[error("the value under {name:?} is a registered claim {problem}")]
    Claim {
        /// The name of the value.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value cannot be written in the codec of the records.
    #[error("a value of the session cannot be written as {codec:?}")]
    Codec {
        /// The codec of the records.
        codec: Codec,
    },
    /// The session has reached its absolute end.
    #[error("the session has ended by itself")]
    Expired,
}
