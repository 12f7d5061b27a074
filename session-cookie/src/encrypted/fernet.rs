//! Records in the Fernet format. Source: github.com/fernet/spec.
//!
//! ```text
//!  0  version      1  0x80
//!  1  timestamp    8  seconds since 1970, big-endian
//!  9  IV          16  random
//! 25  ciphertext      AES-128-CBC, PKCS #7; a multiple of 16
//!     HMAC        32  SHA-256, over all of the above
//! ```
//! as base64url with padding.

use base64::Engine as _;
use bytes::Bytes;
use session_core::{CarriedSession, Codec, CommitCarriedError, StoreTime, Unusable};

use super::fernet_key::{FernetKeys, Opened};
use crate::{
    cookie::{Format, Found, left},
    options::Lives,
    text::{self, PADDED},
};

#[derive(Debug)]
pub(super) struct Fernet {
    keys: FernetKeys,
}

const VERSION: u8 = 0x80;
pub(super) const IV: usize = 16;
const BLOCK: usize = 16;
const HEAD: usize = 1 + 8 + IV;
const MAC: usize = 32;

impl Fernet {
    pub(super) const fn new(keys: FernetKeys) -> Self {
        Self { keys }
    }

    fn seal(&self, plain: &[u8], now: StoreTime, iv: [u8; IV]) -> String {
        let mut token = vec![VERSION];
        token.extend_from_slice(&(now.as_millis() / 1_000).to_be_bytes());
        token.extend_from_slice(&iv);
        self.keys.seal(&mut token, plain, &iv);
        PADDED.encode(token)
    }

    /// What was sealed, when, and whether under an older key.
    fn open(&self, token: &str) -> Result<(Opened, StoreTime), Unusable> {
        let token = text::decode(PADDED, token)?;
        let (signed, mac) = token
            .split_last_chunk::<MAC>()
            .filter(|(signed, _)| signed.len() > HEAD)
            .ok_or(Unusable::Malformed)?;
        if signed[0] != VERSION {
            return Err(Unusable::WrongAlgorithm);
        }
        let (head, ciphertext) = signed.split_at(HEAD);
        if !ciphertext.len().is_multiple_of(BLOCK) {
            return Err(Unusable::Malformed);
        }
        let mut seconds = [0; 8];
        seconds.copy_from_slice(&head[1..9]);
        let mut iv = [0; IV];
        iv.copy_from_slice(&head[9..]);
        // Only what an authentic token says of its time is worth telling.
        let opened = self.keys.open(signed, mac, &iv, ciphertext)?;
        let made = u64::from_be_bytes(seconds).saturating_mul(1_000);
        Ok((opened, StoreTime::from_millis(made)))
    }
}

impl Format for Fernet {
    fn codec(&self) -> Codec {
        Codec::Json
    }

    fn write(
        &self,
        session: &CarriedSession,
        _lives: &Lives,
        now: StoreTime,
    ) -> Result<String, CommitCarriedError> {
        let mut iv = [0; IV];
        getrandom::fill(&mut iv).expect("the operating system gives random bytes");
        Ok(self.seal(&session.encode(Codec::Json)?, now, iv))
    }

    fn read(&self, text: &str, lives: &Lives, now: StoreTime) -> Result<Found, Unusable> {
        let (opened, made) = self.open(text)?;
        // The timestamp is in whole seconds, and so is the age: as Python counts it.
        let now = StoreTime::from_millis(now.as_millis() / 1_000 * 1_000);
        let time_to_live = lives.time_to_live(made, None).unwrap_or_default();
        let left = left(made, now, time_to_live)?;
        let session = CarriedSession::decode(Codec::Json, &Bytes::from(opened.text));
        Ok(Found {
            session: session.map_err(|reason| Unusable::Body { reason })?,
            left: Some(left),
            outdated: opened.outdated,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde::Deserialize;
    use session_core::Timeouts;
    use session_testkit::FakeClock;

    use super::*;
    use crate::{CookieOptions, FernetKey};

    /// The vectors of github.com/fernet/spec, with `now` in seconds since 1970.
    #[derive(Deserialize)]
    struct Vectors {
        generate: Vec<Vector>,
        verify: Vec<Vector>,
        invalid: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        #[serde(default)]
        desc: String,
        token: String,
        now: u64,
        #[serde(default)]
        iv: [u8; IV],
        #[serde(default)]
        ttl_sec: u64,
        #[serde(default)]
        src: String,
        secret: String,
    }

    impl Vector {
        fn fernet(&self) -> Fernet {
            let key = FernetKey::from_base64(&self.secret).unwrap();
            Fernet::new(FernetKeys::new(&key))
        }

        fn now(&self) -> StoreTime {
            StoreTime::from_millis(self.now * 1_000)
        }

        fn verify(&self) -> Result<Vec<u8>, Unusable> {
            let (opened, made) = self.fernet().open(&self.token)?;
            left(made, self.now(), Duration::from_secs(self.ttl_sec))?;
            Ok(opened.text)
        }
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../tests/fernet_vectors.json")).unwrap()
    }

    #[test]
    fn tokens_are_made_as_the_specification_makes_them() {
        for vector in vectors().generate {
            let sealed = vector
                .fernet()
                .seal(vector.src.as_bytes(), vector.now(), vector.iv);
            assert_eq!(sealed, vector.token);
        }
    }

    #[test]
    fn valid_tokens_of_the_specification_are_read() {
        for vector in vectors().verify {
            assert_eq!(vector.verify().unwrap(), vector.src.as_bytes());
        }
    }

    #[test]
    fn invalid_tokens_of_the_specification_are_refused_for_their_reason() {
        let invalid = vectors().invalid;
        assert_eq!(invalid.len(), 8);
        for vector in invalid {
            let refused = vector.verify().unwrap_err();
            let as_expected = match vector.desc.as_str() {
                "incorrect mac" => refused == Unusable::NotAuthentic,
                "too short" | "payload size not multiple of block size" => {
                    refused == Unusable::Malformed
                }
                "invalid base64" => refused == Unusable::NotBase64,
                "payload padding error" | "incorrect IV (causes padding error)" => {
                    refused == Unusable::Malformed
                }
                "far-future TS (unacceptable clock skew)" => {
                    matches!(refused, Unusable::FutureDated { .. })
                }
                "expired TTL" => matches!(refused, Unusable::Expired { .. }),
                other => panic!("{other} is new"),
            };
            assert!(as_expected, "{}: {refused:?}", vector.desc);
        }
    }

    #[test]
    fn an_unpadded_token_is_refused_as_such() {
        let mut vector = vectors().verify.remove(0);
        vector
            .token
            .truncate(vector.token.trim_end_matches('=').len());
        assert_eq!(vector.verify(), Err(Unusable::Padding));
    }

    #[test]
    fn another_version_is_another_algorithm() {
        let mut vector = vectors().verify.remove(0);
        vector.token.replace_range(0..2, "hA");
        assert_eq!(vector.verify(), Err(Unusable::WrongAlgorithm));
    }

    #[test]
    fn the_age_is_counted_in_whole_seconds_as_python_does() {
        let clock = FakeClock::new();
        let timeouts = Timeouts::new(Duration::from_secs(60), Duration::from_secs(600)).unwrap();
        let options = CookieOptions::new("s").unwrap().timeouts(timeouts);
        let lives = options.clock(Arc::new(clock)).into();
        let fernet = Fernet::new(FernetKeys::new(&FernetKey::generate()));
        let at = |ms: u64| StoreTime::from_millis(1_700_000_000_000 + ms);
        let session = CarriedSession::empty(Codec::Json);
        let token = fernet.write(&session, &lives, at(999)).unwrap();
        assert!(fernet.read(&token, &lives, at(60_999)).is_ok());
        let late = fernet.read(&token, &lives, at(61_000));
        assert!(matches!(late.err(), Some(Unusable::Expired { .. })));
    }
}
