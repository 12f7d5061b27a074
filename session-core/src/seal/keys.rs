use std::{fmt, iter::once, sync::Arc};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    Place, SealingKeyId,
    cipher::{Ciphers, SealingCipher},
    signer::Signer,
};
use crate::{BadRecord, ConfigError, SessionHandle};

/// A secret of 256 bits that seals records: whoever has it can read and forge them.
///
/// It belongs into a secret manager, not beside the store. Erased from memory when it is dropped; `Debug` prints its
/// [`id`](Self::id) alone.
pub struct SealingKey {
    bytes: Zeroizing<[u8; Self::LEN]>,
}

impl SealingKey {
    /// The length of a key in bytes.
    pub const LEN: usize = 32;

    /// A fresh key from the operating system's random source. Source: ASVS 5.0, 11.5.1.
    ///
    /// # Panics
    /// When the operating system gives no random bytes, which no safe program can go on from.
    #[doc(alias = "random")]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        getrandom::fill(&mut *bytes).expect("the operating system gives random bytes");
        Self { bytes }
    }

    /// The key with these 32 bytes. They have to be random: a password is no key.
    ///
    /// # Errors
    /// [`ConfigError`] when there are more or fewer of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut key = Zeroizing::new([0; Self::LEN]);
        if bytes.len() != Self::LEN {
            let found = format!("{} bytes long", bytes.len());
            return Err(ConfigError::new("sealing key", found, "32 bytes"));
        }
        key.copy_from_slice(bytes);
        Ok(Self { bytes: key })
    }

    /// The key that this text stands for: base64 of 32 bytes, in the usual or the URL-safe alphabet, padded or not,
    /// as `openssl rand -base64 32` prints it. White space around it is ignored.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no base64, or not of 32 bytes. The error does not show the text.
    pub fn from_base64(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim_ascii();
        let decoded = ENGINES.iter().find_map(|engine| engine.decode(text).ok());
        let Some(decoded) = decoded.map(Zeroizing::new) else {
            let found = "no base64".to_owned();
            return Err(ConfigError::new("sealing key", found, "base64 of 32 bytes"));
        };
        Self::from_bytes(&decoded)
    }

    /// The key as base64, for the secret manager and nothing else.
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// The public name of the key: the beginning of a hash of it.
    pub fn id(&self) -> SealingKeyId {
        let hash = self.derive("key ID");
        let mut id = [0; SealingKeyId::LEN];
        id.copy_from_slice(&hash[..SealingKeyId::LEN]);
        SealingKeyId(id)
    }

    /// A key for one purpose, from which neither this one nor those for other purposes can be told.
    /// Source: NIST SP 800-56C rev. 2, section 4.1 (one-step derivation with SHA-256; one block).
    pub(super) fn derive(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(1_u32.to_be_bytes());
        hash.update(self.bytes.as_slice());
        hash.update("latchkey seal 1 ");
        hash.update(purpose);
        let mut derived = Zeroizing::new([0; 32]);
        let mut output = hash.finalize();
        derived.copy_from_slice(&output);
        output.zeroize();
        derived
    }
}

const INDIFFERENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const ENGINES: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, INDIFFERENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, INDIFFERENT),
];

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// The keys that seal the records of a service at rest: one seals, all open. Cheap to clone.
///
/// ```
/// # use session_core::{ConfigError, MemoryStore, SealingKey, SealingKeys, Sessions};
/// # fn open(current: &str, previous: &str) -> Result<Sessions, ConfigError> {
/// let keys = SealingKeys::new(&SealingKey::from_base64(current)?)
///     .opening(&SealingKey::from_base64(previous)?);
/// let sessions = Sessions::builder(MemoryStore::new()).seal(keys).build()?;
/// # Ok(sessions) }
/// # let (current, previous) = (SealingKey::generate(), SealingKey::generate());
/// # open(&current.expose_base64(), &previous.expose_base64()).unwrap();
/// ```
///
/// # What a seal promises
/// Whoever reads the store learns nothing of a session's values but their size. Whoever writes to it cannot change
/// them: a body opens only under the session key for which it was sealed, with the format version, kind, commit ID,
/// idle timeout, handle, user tag and flags that stood in its header then. So a body that was moved to another
/// session, or under the header of another version, is refused. Errors are [`BadRecord`](crate::BadRecord)s, and the
/// record stays as it is.
/// Source: ASVS 5.0, 11.2.1, 11.3.2 and 11.3.3 (authenticated encryption).
///
/// # What it does not
/// - The store itself sets creation, absolute end and revision, so these are not bound. Whoever writes to the store
///   can move the end of a session, end it, or put a whole older record of the same session back.
/// - Versions that [unlocked writers](crate::Sessions::unlocked) have made of one commit can stand for each other.
/// - Header, session key and sizes can be read. Values that are in use are in the memory of the process as they are.
///
/// # Another key
/// 1. Give the new key to all replicas as one that [opens](Self::opening).
/// 2. Make it the first on all of them. What an older key has sealed is sealed anew by the next commit of its session,
///    even if that changes nothing; an update that changes nothing leaves it.
/// 3. When the absolute timeout has passed, 12 h by default, nothing is left that needs the older key: take it away.
///
/// # Switching it on
/// 1. All replicas get the keys, with [`open_only`](Self::open_only): they read sealed records and write none yet.
/// 2. All replicas seal, with [`accept_unsealed`](Self::accept_unsealed).
/// 3. When the absolute timeout has passed, without either: an unsealed record is refused. Until then whoever writes
///    to the store can plant one.
///
/// Source: ASVS 5.0, 11.2.2 (ciphers and keys can be replaced).
#[derive(Clone)]
#[must_use]
pub struct SealingKeys {
    first: Arc<Ready>,
    others: Vec<Arc<Ready>>,
    cipher: SealingCipher,
    unsealed: Unsealed,
}

/// What is done with records that are not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsealed {
    Refused,
    Accepted,
    Written,
}

/// A key and what is derived from it.
struct Ready {
    id: SealingKeyId,
    ciphers: Ciphers,
    signer: Signer,
}

impl Ready {
    fn new(key: &SealingKey) -> Arc<Self> {
        Arc::new(Self {
            id: key.id(),
            ciphers: Ciphers::new(key),
            signer: Signer::new(key),
        })
    }
}

impl SealingKeys {
    /// `key` seals, and opens what it has sealed. Records that are not sealed are refused.
    pub fn new(key: &SealingKey) -> Self {
        Self {
            first: Ready::new(key),
            others: Vec::new(),
            cipher: SealingCipher::default(),
            unsealed: Unsealed::Refused,
        }
    }

    /// `key` opens what it has sealed, and seals nothing.
    pub fn opening(mut self, key: &SealingKey) -> Self {
        self.others.push(Ready::new(key));
        self
    }

    /// Which cipher seals. Records open whichever has sealed them. Default: XChaCha20-Poly1305.
    pub const fn cipher(mut self, cipher: SealingCipher) -> Self {
        self.cipher = cipher;
        self
    }

    /// Also reads records that are not sealed; they are sealed by the next commit. For the time in which a service
    /// begins to seal, not for longer: whoever can write to the store can then plant records.
    pub const fn accept_unsealed(mut self) -> Self {
        self.unsealed = Unsealed::Accepted;
        self
    }

    /// Reads sealed and unsealed records, and writes unsealed ones. For the time in which not all replicas have the
    /// keys yet, or in which a service gives sealing up.
    pub const fn open_only(mut self) -> Self {
        self.unsealed = Unsealed::Written;
        self
    }

    /// Whether what is written is sealed: not with [`open_only`](Self::open_only).
    pub const fn seals(&self) -> bool {
        !matches!(self.unsealed, Unsealed::Written)
    }

    /// Whether what is read has to be sealed: not with [`open_only`](Self::open_only) and
    /// [`accept_unsealed`](Self::accept_unsealed).
    pub const fn requires_seals(&self) -> bool {
        matches!(self.unsealed, Unsealed::Refused)
    }

    /// The sealed body with the text that `write` appends, of at most `len_max` bytes.
    pub(super) fn close(
        &self,
        place: &Place,
        len_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Bytes {
        let Ready { id, ciphers, .. } = &*self.first;
        ciphers.close(self.cipher, *id, place, len_max, write)
    }

    /// The text of a sealed body, and whether the seal is another than [`close`](Self::close) would make now.
    pub(super) fn open(
        &self,
        place: &Place,
        body: &Bytes,
        limit: usize,
    ) -> Result<(Bytes, bool), BadRecord> {
        let (cipher, rest) = SealingCipher::split_off(body)?;
        let (id, rest) = rest.split_first_chunk().ok_or(BadRecord::CutOff)?;
        let id = SealingKeyId(*id);
        let text = self.key(id)?.ciphers.open(cipher, id, place, rest, limit)?;
        let outdated = self.seals() && (id != self.first.id || cipher != self.cipher);
        Ok((text.into(), outdated))
    }

    /// Seals `text`, which a client is to carry under `name`. It opens under no other name, and never as the body of a
    /// stored record. Whether records are sealed, and which are read, has nothing to do with it.
    pub fn seal_carried(&self, name: &str, text: &[u8]) -> Bytes {
        let place = Place::of_carried(name);
        self.close(&place, text.len(), |out| out.extend_from_slice(text))
    }

    /// Opens what [`seal_carried`](Self::seal_carried) has sealed for that name.
    ///
    /// # Errors
    /// [`BadRecord`] when it was changed or cut off, or its key or cipher is not known.
    pub fn open_carried(&self, name: &str, sealed: &Bytes) -> Result<OpenedText, BadRecord> {
        let (text, outdated) = self.open(&Place::of_carried(name), sealed, sealed.len())?;
        Ok(OpenedText { text, outdated })
    }

    /// Signs `text`, which a client is to carry under `name` and may read: with HMAC-SHA-256, by the first key. It passes for
    /// no other name, and for nothing that is sealed.
    pub fn sign_carried(&self, name: &str, text: &[u8]) -> Bytes {
        let Ready { id, signer, .. } = &*self.first;
        signer.sign(*id, &Place::of_signed(name), text)
    }

    /// The text of what [`sign_carried`](Self::sign_carried) has signed for that name, by any key of the ring.
    ///
    /// # Errors
    /// [`BadRecord`] when it was changed or cut off, or its key is not known.
    pub fn verify_carried(&self, name: &str, signed: &Bytes) -> Result<OpenedText, BadRecord> {
        let id = Signer::key_id(signed)?;
        let text = self
            .key(id)?
            .signer
            .verify(&Place::of_signed(name), signed)?;
        let outdated = self.seals() && id != self.first.id;
        Ok(OpenedText { text, outdated })
    }

    /// Seals what a secondary of that name is shown of a session.
    pub(crate) fn seal_row(&self, name: &str, session: SessionHandle, text: &[u8]) -> Bytes {
        let place = Place::of_row(name, session);
        self.close(&place, text.len(), |out| out.extend_from_slice(text))
    }

    /// Opens what [`seal_row`](Self::seal_row) has sealed for that secondary and session.
    pub(crate) fn open_row(
        &self,
        name: &str,
        session: SessionHandle,
        sealed: &Bytes,
    ) -> Result<Bytes, BadRecord> {
        let place = Place::of_row(name, session);
        self.open(&place, sealed, sealed.len())
            .map(|(text, _)| text)
    }

    fn key(&self, id: SealingKeyId) -> Result<&Ready, BadRecord> {
        let key = self.ring().find(|key| key.id == id);
        key.ok_or(BadRecord::UnknownSealingKey { id })
    }

    fn ring(&self) -> impl Iterator<Item = &Ready> {
        once(&self.first).chain(&self.others).map(Arc::as_ref)
    }
}

/// What was sealed or signed.
#[non_exhaustive]
pub struct OpenedText {
    /// The text.
    pub text: Bytes,
    /// Whether the seal or signature is another than would be made now.
    pub outdated: bool,
}

// The text is a secret.
impl fmt::Debug for OpenedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedText")
            .field("outdated", &self.outdated)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.ring().map(|key| key.id).collect();
        f.debug_struct("SealingKeys")
            .field("ids", &ids)
            .field("cipher", &self.cipher)
            .field("unsealed", &self.unsealed)
            .finish_non_exhaustive()
    }
}
