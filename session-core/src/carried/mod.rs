//! Sessions whose record the client carries, in a cookie.

mod error; // why a record is not used, not written
mod revocation; // which sessions were ended before their time
mod session; // CarriedSession

pub use error::{CommitCarriedError, LoadCarriedError, Unusable};
pub use revocation::{MemoryRevocationList, RevocationList};
pub use session::CarriedSession;

use std::fmt;

use async_trait::async_trait;

use crate::{Capabilities, StoreError, UserId};

/// A store whose records the client carries: nothing of a session is kept here.
///
/// What that costs stands in the contract: clauses 5 and 6. So it is no [`PrimaryStore`](crate::PrimaryStore), and
/// [`Sessions`](crate::Sessions) does not work on it. It is no secondary either: a record goes out with the answer to
/// the very request that changed the session, so nobody can deliver it later. A copy of each commit in a cookie is
/// written by whoever writes that answer.
///
/// # Contract
/// 1. `load` of what `commit` gave has the same values. Nothing but what a `commit` under one of the store's keys gave is
///    ever loaded: not with one character changed, cut off or added.
/// 2. What cannot be used is [`Unusable`], and `open` then begins a new session that knows why. A fault is an error and
///    never a new session.
/// 3. `commit` gives at most [`max_len`](Self::max_len) characters, all of which may stand in a cookie (RFC 6265, 4.1.1).
///    Larger is an error; the session is as it was, and can be made smaller and committed.
/// 4. With [`Promise::BothClocks`](crate::Promise::BothClocks), a record is unusable when the idle timeout has passed
///    since its commit, and a session when the absolute one has passed since it was made. A record that says that it was
///    made in the future is unusable, beyond what clocks differ by. The clock is that of this process.
/// 5. There is no lock. Of two requests that change one session at the same time, the answer that the client gets last
///    wins, and what the other one changed is lost.
/// 6. `destroy` makes every record of the session unusable only with
///    [`Promise::LogoutIsFinal`](crate::Promise::LogoutIsFinal). Without, whoever has kept a copy of the record can go
///    on with it until it ends by itself. The same holds for older versions of a session, with or without that promise.
/// 7. `login` and `regenerate` give a session of another name, and end the former one: as clause 6 says of `destroy`.
/// 8. Errors and `Debug` show neither records nor values nor keys.
#[async_trait]
pub trait CarriedStore: fmt::Debug + Send + Sync + 'static {
    /// Which promises the store keeps.
    fn capabilities(&self) -> Capabilities;

    /// How many bytes a record has at most, as the client carries it.
    fn max_len(&self) -> usize;

    /// A session that nobody carries yet.
    fn create(&self) -> CarriedSession;

    /// Reads a record that a client has sent.
    ///
    /// # Errors
    /// [`LoadCarriedError::Unusable`] for what is no record of this store, or none any more;
    /// [`LoadCarriedError::Store`] when it cannot be found out whether the session was ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn load(&self, record: &str) -> Result<CarriedSession, LoadCarriedError>;

    /// The session of a request: what its record holds, or a new one if it has none that can be used.
    /// [`CarriedSession::unusable`] then says why, for the log.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be found out whether the session was ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn open(&self, record: Option<&str>) -> Result<CarriedSession, StoreError> {
        let Some(record) = record else {
            return Ok(self.create());
        };
        match self.load(record).await {
            Ok(session) => Ok(session),
            Err(LoadCarriedError::Unusable(why)) => Ok(self.create().in_place_of(why)),
            Err(LoadCarriedError::Store(fault)) => Err(fault),
        }
    }

    /// What the client is to carry from now on. The session can be changed and committed again.
    ///
    /// # Errors
    /// [`CommitCarriedError`] for what cannot be carried. The client keeps what it has.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is stored.
    #[doc(alias = "save")]
    async fn commit(&self, session: &CarriedSession) -> Result<String, CommitCarriedError>;

    /// Ends the session. The client has to be told to forget its record, too.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be noted that the session has ended: take it for not ended, and try again.
    ///
    /// # Cancel safety
    /// Cancelled, the session may have ended or not.
    #[doc(alias = "delete")]
    async fn destroy(&self, session: &CarriedSession) -> Result<(), StoreError>;

    /// The session with the same values and the same absolute end under another name, for a change of what it may do.
    /// Commit it: the former one is ended.
    ///
    /// A record that somebody has planted with the client gains nothing by a login in any case: the new one goes to the
    /// client alone.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy).
    ///
    /// # Cancel safety
    /// As [`destroy`](Self::destroy).
    async fn regenerate(&self, session: &CarriedSession) -> Result<CarriedSession, StoreError> {
        self.destroy(session).await?;
        Ok(session.renewed(&self.create()))
    }

    /// [`regenerate`](Self::regenerate) as the session of that user, whose life begins anew:
    /// [`user_id`](crate::SessionData::user_id) says who it is from then on.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy).
    ///
    /// # Cancel safety
    /// As [`destroy`](Self::destroy).
    async fn login(
        &self,
        session: &CarriedSession,
        user: &UserId,
    ) -> Result<CarriedSession, StoreError> {
        self.destroy(session).await?;
        let fresh = self.create();
        let renewed = session.renewed(&fresh).with_user(user);
        Ok(match fresh.absolute_end() {
            Some(end) => renewed.with_absolute_end(end),
            None => renewed,
        })
    }
}
