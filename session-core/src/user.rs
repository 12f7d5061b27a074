use std::{collections::BTreeMap, convert::Infallible, fmt};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Bucket, SessionHandle, StoreTime, msgpack};

/// Names a user to the application: 1 to 256 bytes, from text, an integer or a UUID.
///
/// Integers and UUIDs count as the text that they are usually written as: `7` and `"7"` are one user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// The longest ID in bytes.
    pub const MAX: usize = 256;

    /// The text of the ID.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stores know the user by.
    pub fn key(&self) -> UserKey {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"latchkey user")
            .chain_update(self.0.as_bytes())
            .finalize()
            .into();
        UserKey::from_hash(&hash)
    }
}

impl TryFrom<&str> for UserId {
    type Error = InvalidUserId;

    fn try_from(text: &str) -> Result<Self, InvalidUserId> {
        if (1..=Self::MAX).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidUserId)
        }
    }
}

impl TryFrom<&String> for UserId {
    type Error = InvalidUserId;

    fn try_from(text: &String) -> Result<Self, InvalidUserId> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidUserId;

    fn try_from(text: String) -> Result<Self, InvalidUserId> {
        Self::try_from(text.as_str())
    }
}

impl From<&Self> for UserId {
    fn from(user: &Self) -> Self {
        user.clone()
    }
}

macro_rules! from_text_of {
    ($($kind:ty)+) => {$(
        impl From<$kind> for UserId {
            fn from(id: $kind) -> Self {
                Self(id.to_string().into())
            }
        }
    )+};
}

from_text_of! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize Uuid }

// Whom a service knows is not for its logs.
impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId([redacted])")
    }
}

/// The text is no user ID: empty, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a user ID: expected 1 to {} bytes", UserId::MAX)]
pub struct InvalidUserId;

impl From<Infallible> for InvalidUserId {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What stores know a user by: a hash of the ID, and the bucket in which all sessions of the user stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserKey {
    tag: u64,
    bucket: Bucket,
}

impl UserKey {
    pub(crate) const fn from_hash(hash: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, high, low, ..] = *hash;
        let tag = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self {
            // Zero stands for "no user".
            tag: if tag == 0 { 1 } else { tag },
            bucket: Bucket::from_bits(u16::from_be_bytes([high, low])),
        }
    }

    /// The hash, as it stands in the headers of the user's sessions; never zero.
    pub const fn tag(&self) -> u64 {
        self.tag
    }

    /// The bucket.
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// The user whose tag stands in the header of a session in that bucket; `None` if it has no user.
    pub const fn of_session(tag: u64, bucket: Bucket) -> Option<Self> {
        if tag == 0 {
            return None;
        }
        Some(Self { tag, bucket })
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey([redacted])")
    }
}

/// How far a user's sessions had been revoked when a login began: a login that comes after a later revocation is
/// refused as [`CommitError::Superseded`](crate::CommitError::Superseded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct LoginTicket {
    /// Whose login it is.
    pub user: UserKey,
    /// Counts the revocations of all of the user's sessions.
    pub epoch: u64,
    /// When it was given out, by the store's clock.
    pub issued: StoreTime,
}

/// A user as the store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Standing {
    /// What a login that begins now is held against.
    pub ticket: LoginTicket,
    /// Whether no login is accepted.
    pub disabled: bool,
}

/// What happens when a user with as many sessions as allowed logs in once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores have to know all of them")]
pub enum WhenFull {
    /// The session that was stored first is ended.
    #[default]
    EndOldest,
    /// The login is refused as [`CommitError::TooManySessions`](crate::CommitError::TooManySessions).
    Refuse,
}

/// How many sessions one user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct SessionLimit {
    /// At most this many.
    pub max: u32,
    /// What happens to one more.
    pub when_full: WhenFull,
}

/// A hash of what a user logs in with. Another one ends the user's other sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CredentialTag([u8; 16]);

impl CredentialTag {
    /// The tag of a credential, such as a password's stored hash. Only this hash of it is stored.
    pub fn of(credential: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(b"latchkey credential")
            .chain_update(credential)
            .finalize();
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash[..16]);
        Self(tag)
    }

    /// The bytes of the tag.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for CredentialTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialTag([redacted])")
    }
}

/// What a login enters into the list of a user's sessions.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the core builds it, stores take it apart"
)]
pub struct UserEntry {
    /// The user.
    pub user: UserKey,
    /// Refused if all sessions were revoked since.
    pub ticket: Option<LoginTicket>,
    /// How many sessions the user may have.
    pub limit: SessionLimit,
    /// The encoded labels; empty for none.
    pub labels: Bytes,
    /// Another one than the last login's ends all earlier sessions.
    pub credential: Option<CredentialTag>,
}

/// A session in the list of its user's, as stores give it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Listed {
    /// Its public name.
    pub handle: SessionHandle,
    /// When it was stored first.
    pub created: StoreTime,
    /// When it was last used, to about a tenth of its idle timeout.
    pub last_seen: StoreTime,
    /// The encoded labels; empty for none.
    pub labels: Bytes,
}

/// Which of a user's sessions are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores have to know all of them")]
pub enum Revocation {
    /// The one of that name.
    One(SessionHandle),
    /// All but the one of that name.
    Others(SessionHandle),
    /// All, and logins that have begun.
    All,
    /// All, and every login until the user is enabled again.
    Disable,
}

/// A login that is to be bound to a session: who, and what is to be known of it.
///
/// ```
/// # use session_core::{Login, MemoryStore, Sessions};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sessions = Sessions::new(MemoryStore::new());
/// let ticket = sessions.begin_login("ada").await?; // before the password is checked
/// let login = Login::new("ada")?
///     .label("browser", "Firefox on Linux")?
///     .ticket(ticket);
/// let mut session = sessions.create();
/// session.login_with(login, &("Ada", "admin"))?;
/// session.commit().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "give it to `SessionGuard::login_with`"]
pub struct Login {
    pub(crate) user: UserId,
    pub(crate) ticket: Option<LoginTicket>,
    credential: Option<CredentialTag>,
    labels: BTreeMap<String, String>,
}

impl Login {
    /// The longest labels of one session, in bytes, encoded together.
    pub const MAX_LABELS: usize = 1024;

    /// A login of that user.
    ///
    /// # Errors
    /// [`InvalidUserId`] when the ID is empty or too long.
    pub fn new<I>(user: I) -> Result<Self, InvalidUserId>
    where
        I: TryInto<UserId>,
        InvalidUserId: From<I::Error>,
    {
        Ok(Self {
            user: user.try_into()?,
            ticket: None,
            credential: None,
            labels: BTreeMap::new(),
        })
    }

    /// A public label of the session, for the list of "your devices". Labels are stored as they are, also where
    /// records are sealed.
    ///
    /// # Errors
    /// [`LabelsTooLong`] when all labels together are longer than [`MAX_LABELS`](Self::MAX_LABELS).
    pub fn label(mut self, name: &str, text: &str) -> Result<Self, LabelsTooLong> {
        self.labels.insert(name.to_owned(), text.to_owned());
        let size = self.encoded_labels().len();
        if size > Self::MAX_LABELS {
            return Err(LabelsTooLong { size });
        }
        Ok(self)
    }

    /// What the user logs in with, such as the stored hash of the password. If it is another than at the last login,
    /// all earlier sessions of the user are ended with this login.
    pub fn credential(mut self, credential: &[u8]) -> Self {
        self.credential = Some(CredentialTag::of(credential));
        self
    }

    /// The ticket from [`Sessions::begin_login`](crate::Sessions::begin_login): a login that was overtaken by a
    /// revocation is refused.
    pub const fn ticket(mut self, ticket: LoginTicket) -> Self {
        self.ticket = Some(ticket);
        self
    }

    /// Whose login it is.
    pub const fn user(&self) -> &UserId {
        &self.user
    }

    /// `user` is what stores know the user by.
    pub(crate) fn into_entry(self, user: UserKey, limit: SessionLimit) -> UserEntry {
        UserEntry {
            user,
            ticket: self.ticket,
            limit,
            labels: self.encoded_labels(),
            credential: self.credential,
        }
    }

    fn encoded_labels(&self) -> Bytes {
        if self.labels.is_empty() {
            return Bytes::new();
        }
        // A map of texts can always be encoded.
        msgpack::encode(&self.labels).unwrap_or_default().into()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// The labels of a session are too long. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the labels have {size} bytes, allowed are {}", Login::MAX_LABELS)]
#[non_exhaustive]
pub struct LabelsTooLong {
    /// How long they would be in bytes.
    pub size: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_have_1_to_256_bytes_and_zero_is_one() {
        assert_eq!(UserId::try_from(""), Err(InvalidUserId));
        assert_eq!(UserId::try_from("x".repeat(257)), Err(InvalidUserId));
        assert!(UserId::try_from("x".repeat(256)).is_ok());
        assert_eq!(UserId::from(0_u64).as_str(), "0");
        assert_eq!(UserId::from(7_i32), UserId::try_from("7").unwrap());
        assert_eq!(UserId::from(Uuid::nil()).as_str().len(), 36);
    }

    #[test]
    fn users_are_told_apart_and_hidden() {
        let (ada, bob) = (UserId::from(1), UserId::from(2));
        assert_ne!(ada.key(), bob.key());
        assert_eq!(ada.key(), UserId::from(1).key());
        assert_ne!(ada.key().tag(), 0);
        let name = UserId::try_from("ada").unwrap();
        assert!(!format!("{name:?} {:?}", name.key()).contains("ada"));
    }

    #[test]
    fn labels_are_capped() {
        let login = Login::new(1).unwrap();
        let login = login.label("browser", &"x".repeat(900)).unwrap();
        let refused = login.label("place", &"x".repeat(200));
        assert!(matches!(refused, Err(LabelsTooLong { size }) if size > 1_100));
    }
}
