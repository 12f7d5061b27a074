//! Keys, times and tokens as the database has them.

use std::time::Duration;

use session_core::SessionKey;
use session_lock::FencingToken;

/// The key as it is stored: the hash, then the bucket.
pub(crate) fn key_bytes(key: &SessionKey) -> Vec<u8> {
    [&key.digest()[..], &key.bucket().number().to_be_bytes()].concat()
}

pub(crate) fn token_number(token: FencingToken) -> i64 {
    signed(token.0)
}

pub(crate) fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

// Numbers of milliseconds, revisions and tokens are far below the largest one.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
