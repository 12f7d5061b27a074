use session_core::SessionId;

/// How IDs are written where they travel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    #[cfg(feature = "seal")]
    keys: Option<session_core::SealingKeys>,
}

/// An ID that was read.
pub(crate) struct Spelled {
    pub(crate) id: SessionId,
    /// Whether it would be written otherwise now.
    pub(crate) is_outdated: bool,
}

impl Spelling {
    /// As they are, without a seal.
    fn read_plain(text: &str) -> Option<SessionId> {
        text.parse().ok()
    }
}

#[cfg(not(feature = "seal"))]
impl Spelling {
    pub(crate) const fn longest(&self) -> usize {
        SessionId::LEN
    }

    pub(crate) fn write(&self, _name: &str, id: &SessionId) -> String {
        id.expose().to_owned()
    }

    pub(crate) fn read(&self, _name: &str, text: &str) -> Option<Spelled> {
        Some(Spelled {
            id: Self::read_plain(text)?,
            is_outdated: false,
        })
    }
}

#[cfg(feature = "seal")]
mod sealed {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use session_core::{SealingKeys, SessionId};

    use super::{Spelled, Spelling};

    // 49 bytes of seal, and base64 (`SealingCipher::XChaCha20Poly1305`; the other one is shorter).
    const LONGEST_SEALED: usize = (49 + SessionId::LEN).div_ceil(3) * 4;

    impl Spelling {
        pub(crate) const fn sealed(keys: SealingKeys) -> Self {
            Self { keys: Some(keys) }
        }

        /// How many characters an ID takes.
        pub(crate) const fn longest(&self) -> usize {
            match self.keys {
                None => SessionId::LEN,
                Some(_) => LONGEST_SEALED,
            }
        }

        /// The text of an ID that travels under that name.
        pub(crate) fn write(&self, name: &str, id: &SessionId) -> String {
            match self.keys.as_ref().filter(|keys| keys.seals()) {
                None => id.expose().to_owned(),
                Some(keys) => {
                    URL_SAFE_NO_PAD.encode(keys.seal_carried(name, id.expose().as_bytes()))
                }
            }
        }

        /// The ID in a text that has travelled under that name.
        pub(crate) fn read(&self, name: &str, text: &str) -> Option<Spelled> {
            let Some(keys) = &self.keys else {
                let id = Self::read_plain(text)?;
                let is_outdated = false;
                return Some(Spelled { id, is_outdated });
            };
            if text.len() > LONGEST_SEALED {
                return None;
            }
            if !keys.requires_seals()
                && let Some(id) = Self::read_plain(text)
            {
                let is_outdated = keys.seals();
                return Some(Spelled { id, is_outdated });
            }
            let sealed = URL_SAFE_NO_PAD.decode(text).ok()?.into();
            let opened = keys.open_carried(name, &sealed).ok()?;
            Some(Spelled {
                id: Self::read_plain(str::from_utf8(&opened.text).ok()?)?,
                is_outdated: opened.outdated || !keys.seals(),
            })
        }
    }
}
