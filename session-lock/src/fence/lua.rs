//! The checks for Redis as text, for a client of your own, in whatever language. [Which tokens](super) are accepted is
//! said by an argument.
//!
//! Both scripts answer `1`; `{0, highest}` where the token is refused, `highest` as decimal text; `-2` where what stands
//! under the fence's key is no fence. On a cluster all keys of a call must have one hash tag.
//!
//! Tokens are compared as text, because numbers in Lua are exact up to 2^53 only.
//!
//! A script of your own begins with [`ACCEPT_TOKEN`] and calls it before its first write:
//!
//! ```
//! let script = [
//!     session_lock::fence::lua::ACCEPT_TOKEN,
//!     "local refused = accept_token(KEYS[2], ARGV[1], '1', 86400000)
//!      if refused then return refused end
//!      redis.call('RPUSH', KEYS[1], ARGV[2])
//!      return 1",
//! ]
//! .concat();
//! ```
//!
//! Redis does not undo what a script has done before it failed: check what can go wrong with your writes before you accept
//! the token.

/// Defines the Lua function `accept_token(key, token, same, ttl_ms)`; the text says what it returns.
pub const ACCEPT_TOKEN: &str = include_str!("../../lua/lib/accept_token.lua");

/// Remembers a token if it is accepted. Keys: the fence. Arguments: the token; `1` to accept the same again, else `0`; how
/// long the fence is kept, in ms.
pub const FENCED_ACCEPT: &str = concat!(
    include_str!("../../lua/lib/accept_token.lua"),
    include_str!("../../lua/fenced_accept.lua")
);

/// Stores a value if its token is accepted. Keys: the value, the fence. Arguments: the value, then as
/// [`FENCED_ACCEPT`]. Answers `-1` where the value's key holds something else than a string.
pub const FENCED_SET: &str = concat!(
    include_str!("../../lua/lib/accept_token.lua"),
    include_str!("../../lua/fenced_set.lua")
);
