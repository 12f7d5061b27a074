//! A record in our own format: base64url, without padding, of what [`SealingKeys::seal_carried`] gives for
//!
//! ```text
//!  0  version   1  1
//!  1  made      8  milliseconds since 1970, big-endian
//!  9  values       MessagePack
//! ```

use base64::Engine as _;
use session_core::{
    BadRecord, CarriedSession, Codec, CommitCarriedError, SealingKeys, StoreTime, Unusable,
};

use crate::{
    cookie::{Format, Found, left},
    options::Lives,
    text::{self, UNPADDED},
};

#[derive(Debug)]
pub(super) struct Aead {
    keys: SealingKeys,
}

const VERSION: u8 = 1;
const CODEC: Codec = Codec::MessagePack;

impl Aead {
    pub(super) const fn new(keys: SealingKeys) -> Self {
        Self { keys }
    }
}

impl Format for Aead {
    fn codec(&self) -> Codec {
        CODEC
    }

    fn write(
        &self,
        session: &CarriedSession,
        lives: &Lives,
        now: StoreTime,
    ) -> Result<String, CommitCarriedError> {
        let values = session.encode(CODEC)?;
        let mut text = vec![VERSION];
        text.extend_from_slice(&now.as_millis().to_be_bytes());
        text.extend_from_slice(&values);
        let sealed = self.keys.seal_carried(lives.name.as_str(), &text);
        Ok(UNPADDED.encode(sealed))
    }

    fn read(&self, text: &str, lives: &Lives, now: StoreTime) -> Result<Found, Unusable> {
        let sealed = text::decode(UNPADDED, text)?.into();
        let opened = self.keys.open_carried(lives.name.as_str(), &sealed);
        let opened = opened.map_err(unusable)?;
        let (&version, rest) = opened.text.split_first().ok_or(Unusable::Malformed)?;
        if version != VERSION {
            return Err(Unusable::Newer { version });
        }
        let (made, values) = rest.split_first_chunk().ok_or(Unusable::Malformed)?;
        let made = StoreTime::from_millis(u64::from_be_bytes(*made));
        let time_to_live = lives.time_to_live(made, None).unwrap_or_default();
        let left = left(made, now, time_to_live)?;
        let session = CarriedSession::decode(CODEC, &opened.text.slice_ref(values));
        Ok(Found {
            session: session.map_err(|reason| Unusable::Body { reason })?,
            left: Some(left),
            outdated: opened.outdated,
        })
    }
}

fn unusable(bad: BadRecord) -> Unusable {
    match bad {
        BadRecord::UnknownSealingKey { id } => Unusable::UnknownKey { id },
        BadRecord::UnknownCipher { .. } => Unusable::WrongAlgorithm,
        BadRecord::BrokenSeal => Unusable::NotAuthentic,
        _ => Unusable::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use session_core::SealingKey;

    use super::*;
    use crate::CookieOptions;

    #[test]
    fn what_a_newer_release_wrote_is_told_from_what_is_broken() {
        let aead = Aead::new(SealingKeys::new(&SealingKey::generate()));
        let lives = CookieOptions::new("s").unwrap().into();
        let read = |text: &[u8]| {
            let record = UNPADDED.encode(aead.keys.seal_carried("s", text));
            aead.read(&record, &lives, StoreTime::default()).map(|_| ())
        };
        let values = [0, 0, 0, 0, 0, 0, 0, 0, 0x80];
        assert_eq!(read(&[&[VERSION], &values[..]].concat()), Ok(()));
        let newer = read(&[&[2], &values[..]].concat());
        assert_eq!(newer, Err(Unusable::Newer { version: 2 }));
        assert_eq!(read(&[VERSION, 0]), Err(Unusable::Malformed));
        assert_eq!(read(&[]), Err(Unusable::Malformed));
    }
}
