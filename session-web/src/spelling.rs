use session_core::SessionId;

#[cfg(feature = "seal")]
pub(crate) use self::sealed::Form;

/// How IDs are written where they travel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    #[cfg(feature = "seal")]
    keys: Option<session_core::SealingKeys>,
    #[cfg(feature = "seal")]
    form: Form,
}

/// An ID that was read.
pub(crate) struct Spelled {
    pub(crate) id: SessionId,
    /// Whether it would be written otherwise now.
    pub(crate) is_outdated: bool,
}

impl Spelling {
    /// As they are, without a seal or signature.
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
    use session_core::{OpenedText, SealingKeys, SessionId};

    use super::{Spelled, Spelling};

    /// What keys make of an ID.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) enum Form {
        /// It can be read by holders of a key alone.
        #[default]
        Sealed,
        /// It can be read by everybody.
        Signed,
    }

    // 49 bytes of seal, and base64 (`SealingCipher::XChaCha20Poly1305`; the other one is shorter).
    const LONGEST_SEALED: usize = in_base64(49 + SessionId::LEN);
    // Format, key ID and HMAC.
    const SIGNED: usize = in_base64(1 + 8 + 32 + SessionId::LEN);

    const fn in_base64(bytes: usize) -> usize {
        bytes.div_ceil(3) * 4
    }

    impl Spelling {
        pub(crate) const fn keyed(keys: SealingKeys, form: Form) -> Self {
            Self {
                keys: Some(keys),
                form,
            }
        }

        /// How many characters an ID takes.
        pub(crate) const fn longest(&self) -> usize {
            match (&self.keys, self.form) {
                (None, _) => SessionId::LEN,
                (Some(_), Form::Sealed) => LONGEST_SEALED,
                (Some(_), Form::Signed) => SIGNED,
            }
        }

        /// The text of an ID that travels under that name.
        pub(crate) fn write(&self, name: &str, id: &SessionId) -> String {
            let Some(keys) = self.keys.as_ref().filter(|keys| keys.seals()) else {
                return id.expose().to_owned();
            };
            let id = id.expose().as_bytes();
            URL_SAFE_NO_PAD.encode(match self.form {
                Form::Sealed => keys.seal_carried(name, id),
                Form::Signed => keys.sign_carried(name, id),
            })
        }

        /// The ID in a text that has travelled under that name. What was made in the other form is read too, so that a
        /// service can change from one to the other.
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
            let (opened, form) = open(keys, name, URL_SAFE_NO_PAD.decode(text).ok()?)?;
            Some(Spelled {
                id: Self::read_plain(str::from_utf8(&opened.text).ok()?)?,
                is_outdated: opened.outdated || form != self.form || !keys.seals(),
            })
        }
    }

    fn open(keys: &SealingKeys, name: &str, carried: Vec<u8>) -> Option<(OpenedText, Form)> {
        let carried = carried.into();
        if let Ok(text) = keys.open_carried(name, &carried) {
            return Some((text, Form::Sealed));
        }
        let text = keys.verify_carried(name, &carried).ok()?;
        Some((text, Form::Signed))
    }
}
