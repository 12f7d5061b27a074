//! Records as JWT (RFC 7519) in the compact form of JWS (RFC 7515), as PyJWT 2.15 and MicroPython's `jwt` write them.

use base64::Engine as _;
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use session_core::{CarriedSession, Codec, CommitCarriedError, StoreTime, Unusable};

use super::{
    claims::{self, EXPIRY},
    key::SigningKeys,
};
use crate::{
    cookie::{CLOCK_SKEW, Format, Found},
    options::Lives,
    text::{self, UNPADDED},
};

#[derive(Debug)]
pub(super) struct Jwt {
    keys: SigningKeys,
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

impl Jwt {
    pub(super) const fn new(keys: SigningKeys) -> Self {
        Self { keys }
    }

    /// The claims of an authentic token, and whether an older key has signed it.
    fn open(&self, token: &str) -> Result<(Vec<u8>, bool), Unusable> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Unusable::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Unusable::Malformed)?;
        if claims.contains('.') {
            return Err(Unusable::Malformed);
        }
        check_header(&text::decode(UNPADDED, header)?)?;
        let signature = text::decode(UNPADDED, signature)?;
        let key = self.keys.find(signed, &signature);
        let key = key.ok_or(Unusable::NotAuthentic)?;
        Ok((text::decode(UNPADDED, claims)?, key > 0))
    }
}

impl Format for Jwt {
    fn codec(&self) -> Codec {
        Codec::Json
    }

    fn write(
        &self,
        session: &CarriedSession,
        lives: &Lives,
        now: StoreTime,
    ) -> Result<String, CommitCarriedError> {
        let values = session.encode(Codec::Json)?;
        let ends = match lives.time_to_live(now, session.absolute_end()) {
            None => None,
            Some(_) if session.contains_key(EXPIRY) => {
                let problem = "that the store sets itself";
                return Err(CommitCarriedError::Claim {
                    name: EXPIRY,
                    problem,
                });
            }
            // Whole seconds: no record ends before its time.
            Some(left) => Some(now.after(left).as_millis().div_ceil(1_000)),
        };
        claims::check_written(&values, now)?;
        let claims = with_expiry(&values, ends);
        let signed = format!("{}.{}", UNPADDED.encode(HEADER), UNPADDED.encode(claims));
        let signature = UNPADDED.encode(self.keys.sign(&signed));
        Ok(format!("{signed}.{signature}"))
    }

    fn read(&self, text: &str, lives: &Lives, now: StoreTime) -> Result<Found, Unusable> {
        let (values, outdated) = self.open(text)?;
        let values = Bytes::from(values);
        let session = CarriedSession::decode(Codec::Json, &values);
        let mut session = session.map_err(|reason| Unusable::Body { reason })?;
        let ends = claims::check_read(&values, now, CLOCK_SKEW)?;
        if lives.revocations.is_some() && ends.is_none() {
            return Err(Unusable::Endless);
        }
        if lives.timeouts.is_some() {
            session.take_raw(EXPIRY);
        }
        Ok(Found {
            session,
            left: ends.map(|end| end.saturating_since(now)),
            outdated,
        })
    }
}

/// A JSON object with `exp` before its values.
fn with_expiry(values: &[u8], ends: Option<u64>) -> Vec<u8> {
    let Some(seconds) = ends else {
        return values.to_vec();
    };
    let comma = if values == b"{}" { "" } else { "," };
    let mut claims = format!(r#"{{"{EXPIRY}":{seconds}{comma}"#).into_bytes();
    claims.extend_from_slice(&values[1..]);
    claims
}

/// Only what we would have signed ourselves: the header is not asked how to check it.
fn check_header(json: &[u8]) -> Result<(), Unusable> {
    #[derive(Deserialize)]
    struct Header {
        alg: Option<String>,
        crit: Option<IgnoredAny>,
    }

    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Unusable::Malformed);
    }
    let header: Header = serde_json::from_slice(json).or(Err(Unusable::Malformed))?;
    // RFC 7515, 4.1.11: what has to be understood, and is not.
    if header.alg.as_deref() != Some("HS256") || header.crit.is_some() {
        return Err(Unusable::WrongAlgorithm);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    /// RFC 7519, 3.1, with the key of RFC 7515, A.1, which is no text: so its signature under one that is.
    const HEADER_OF_RFC: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";

    fn jwt() -> Jwt {
        Jwt::new(SigningKeys::new(&SigningKey::dangerous_short("top-secret")))
    }

    fn signed(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", UNPADDED.encode(header), UNPADDED.encode(claims));
        let signature = UNPADDED.encode(jwt().keys.sign(&signed));
        format!("{signed}.{signature}")
    }

    #[test]
    fn any_spelling_of_the_header_is_read() {
        let header = UNPADDED.decode(HEADER_OF_RFC).unwrap();
        let header = str::from_utf8(&header).unwrap();
        for header in [
            header,
            HEADER,
            r#"{"alg":"HS256"}"#,
            r#"{"alg": "HS256", "kid": "1"}"#,
        ] {
            assert_eq!(
                jwt().open(&signed(header, "{}")),
                Ok((b"{}".to_vec(), false))
            );
        }
    }

    #[test]
    fn another_algorithm_is_refused_though_the_signature_is_right() {
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"hs256","typ":"JWT"}"#,
            r#"{"alg":"HS512","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        ] {
            let refused = jwt().open(&signed(header, "{}"));
            assert_eq!(refused, Err(Unusable::WrongAlgorithm), "{header}");
        }
        for header in [
            r#"{"alg":"HS256","alg":"none"}"#,
            r#"["HS256"]"#,
            "HS256",
            "",
        ] {
            let refused = jwt().open(&signed(header, "{}"));
            assert_eq!(refused, Err(Unusable::Malformed), "{header}");
        }
    }

    #[test]
    fn a_token_without_its_signature_is_refused() {
        let token = signed(HEADER, "{}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert_eq!(jwt().open(unsigned), Err(Unusable::Malformed));
        assert_eq!(
            jwt().open(&format!("{unsigned}.")),
            Err(Unusable::NotAuthentic)
        );
        let none = UNPADDED.encode(r#"{"alg":"none"}"#);
        let claims = UNPADDED.encode("{}");
        assert_eq!(
            jwt().open(&format!("{none}.{claims}.")),
            Err(Unusable::WrongAlgorithm)
        );
        assert_eq!(jwt().open(&format!("{token}.")), Err(Unusable::Malformed));
    }

    #[test]
    fn padding_is_refused_as_such() {
        let token = signed(HEADER, "{}");
        assert_eq!(jwt().open(&format!("{token}=")), Err(Unusable::Padding));
    }

    #[test]
    fn the_expiry_stands_before_the_values() {
        assert_eq!(with_expiry(b"{}", Some(7)), br#"{"exp":7}"#);
        assert_eq!(with_expiry(br#"{"a":1}"#, Some(7)), br#"{"exp":7,"a":1}"#);
        assert_eq!(with_expiry(br#"{"a":1}"#, None), br#"{"a":1}"#);
    }
}
