//! Registered claims (RFC 7519, 4.1) as PyJWT 2.15 checks them when it is given no audience and no issuer: for a claim that
//! it refuses, microdot reads an empty session.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use session_core::{CommitCarriedError, StoreTime, Unusable};

pub(super) const EXPIRY: &str = "exp";

/// What stands under the registered names. `Some(Null)` is a claim that is there.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "present")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    jti: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(reader).map(Some)
}

/// What is wrong with a claim.
enum Bad {
    NotANumber(&'static str),
    NotText(&'static str),
    Audience,
    Past(Duration),
    Future(&'static str, Duration),
}

/// Refuses values for which the other side would read an empty session now.
pub(super) fn check_written(json: &[u8], now: StoreTime) -> Result<(), CommitCarriedError> {
    let claims = parse(json);
    let bad = match claims.map(|claims| claims.check(now, Duration::ZERO)) {
        Some(Ok(_)) => return Ok(()),
        Some(Err(bad)) => bad,
        None => Bad::NotANumber(EXPIRY),
    };
    let (name, problem) = match bad {
        Bad::NotANumber(name) => (name, "and has to be a number of seconds"),
        Bad::NotText(name) => (name, "and has to be text"),
        Bad::Audience => ("aud", "that names an audience, which no session has"),
        Bad::Past(_) => (EXPIRY, "that lies in the past"),
        Bad::Future(name, _) => (name, "that lies in the future"),
    };
    Err(CommitCarriedError::Claim { name, problem })
}

/// When a token ends, if it does and is valid now.
pub(super) fn check_read(
    json: &[u8],
    now: StoreTime,
    skew: Duration,
) -> Result<Option<StoreTime>, Unusable> {
    let claims = parse(json).ok_or(Unusable::Claim { name: EXPIRY })?;
    claims.check(now, skew).map_err(|bad| match bad {
        Bad::NotANumber(name) | Bad::NotText(name) => Unusable::Claim { name },
        Bad::Audience => Unusable::Claim { name: "aud" },
        Bad::Past(since) => Unusable::Expired { since },
        Bad::Future(_, ahead) => Unusable::FutureDated { ahead },
    })
}

/// `None`: a number that is too large for any time.
fn parse(json: &[u8]) -> Option<Claims> {
    serde_json::from_slice(json).ok()
}

impl Claims {
    fn check(&self, now: StoreTime, skew: Duration) -> Result<Option<StoreTime>, Bad> {
        let ends = time(EXPIRY, self.exp.as_ref())?;
        if let Some(end) = ends
            && end <= now
        {
            return Err(Bad::Past(now.saturating_since(end)));
        }
        for (name, claim) in [("nbf", &self.nbf), ("iat", &self.iat)] {
            let begins = time(name, claim.as_ref())?.unwrap_or_default();
            let ahead = begins.saturating_since(now);
            if ahead > skew {
                return Err(Bad::Future(name, ahead));
            }
        }
        if self
            .aud
            .as_ref()
            .is_some_and(|audience| !is_empty(audience))
        {
            return Err(Bad::Audience);
        }
        for (name, claim) in [("iss", &self.iss), ("sub", &self.sub), ("jti", &self.jti)] {
            if claim.as_ref().is_some_and(|claim| !claim.is_string()) {
                return Err(Bad::NotText(name));
            }
        }
        Ok(ends)
    }
}

/// A number of seconds since 1970, whole ones: as Python's `int()` makes of it.
fn time(name: &'static str, claim: Option<&Value>) -> Result<Option<StoreTime>, Bad> {
    let Some(claim) = claim else {
        return Ok(None);
    };
    let seconds = claim.as_f64().ok_or(Bad::NotANumber(name))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates: before 1970 is 1970, and far in the future is far enough"
    )]
    let seconds = seconds.trunc() as u64;
    Ok(Some(StoreTime::from_millis(seconds.saturating_mul(1_000))))
}

/// What Python takes for nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: StoreTime = StoreTime::from_millis(1_700_000_000_500);
    const MINUTE: Duration = Duration::from_secs(60);

    fn written(json: &str) -> Option<&'static str> {
        match check_written(json.as_bytes(), NOW) {
            Ok(()) => None,
            Err(CommitCarriedError::Claim { name, .. }) => Some(name),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn claims_that_make_a_token_invalid_are_refused_by_name() {
        for (json, name) in [
            (r#"{"exp":1700000000}"#, "exp"),
            (r#"{"exp":"1800000000"}"#, "exp"),
            (r#"{"exp":null}"#, "exp"),
            (r#"{"exp":true}"#, "exp"),
            (r#"{"exp":-1}"#, "exp"),
            (r#"{"nbf":1700000001}"#, "nbf"),
            (r#"{"iat":1700000001}"#, "iat"),
            (r#"{"iat":[1]}"#, "iat"),
            (r#"{"aud":"web"}"#, "aud"),
            (r#"{"aud":["web"]}"#, "aud"),
            (r#"{"aud":7}"#, "aud"),
            (r#"{"sub":7}"#, "sub"),
            (r#"{"sub":null}"#, "sub"),
            (r#"{"jti":7}"#, "jti"),
            (r#"{"iss":{}}"#, "iss"),
        ] {
            assert_eq!(written(json), Some(name), "{json}");
        }
    }

    #[test]
    fn claims_that_a_valid_token_has_are_written() {
        for json in [
            "{}",
            r#"{"exp":1700000001,"nbf":1700000000,"iat":1700000000.9}"#,
            r#"{"exp":1e300,"iat":-5}"#,
            r#"{"aud":null,"iss":"a","sub":"b","jti":"c"}"#,
            r#"{"aud":"","username":"susan"}"#,
            r#"{"nested":{"exp":1}}"#,
        ] {
            assert_eq!(written(json), None, "{json}");
        }
    }

    #[test]
    fn a_token_ends_at_the_second_that_it_names() {
        let at = |ms| StoreTime::from_millis(ms);
        let read = |now| check_read(br#"{"exp":1700000000}"#, now, MINUTE);
        assert_eq!(read(at(1_699_999_999_999)), Ok(Some(at(1_700_000_000_000))));
        let since = Duration::ZERO;
        assert_eq!(
            read(at(1_700_000_000_000)),
            Err(Unusable::Expired { since })
        );
    }

    #[test]
    fn what_is_read_may_be_as_far_ahead_as_clocks_differ() {
        let read = |json: &str| check_read(json.as_bytes(), NOW, MINUTE);
        assert_eq!(read(r#"{"iat":1700000060}"#), Ok(None));
        let refused = read(r#"{"iat":1700000061}"#);
        assert!(matches!(refused, Err(Unusable::FutureDated { .. })));
        let refused = read(r#"{"exp":1700000000}"#);
        let since = Duration::from_millis(500);
        assert_eq!(refused, Err(Unusable::Expired { since }));
        let end = StoreTime::from_millis(1_700_000_001_000);
        assert_eq!(read(r#"{"exp":1700000001.9}"#), Ok(Some(end)));
    }
}
