//! Sessions in cookies that services in Python read and write as well.

use std::{sync::Arc, time::Duration};

use latchkey::{
    CarriedSession, CarriedStore, LoadCarriedError, MemoryRevocationList, Unusable,
    cookie::{
        CookieOptions, EncryptedCookie, FernetKey, FernetKeys, SignedCookie, SigningKey,
        SigningKeys,
    },
    core::{Clock as _, SystemClock},
};
use latchkey_tests::{
    TestResult,
    foreign::{
        CookieLibrary::{Fernet, Microdot, PyJwt, SanicCookies},
        CookieService, Library,
    },
};
use serde_json::{Value, json};
use session_testkit::FakeClock;

const TTL_SECONDS: u64 = 30 * 60;
const HOUR: Duration = Duration::from_secs(3_600);

fn options() -> CookieOptions {
    CookieOptions::new("session").unwrap()
}

/// Options on a machine whose clock shows that time.
fn options_at(unix_time: Duration) -> CookieOptions {
    let clock = FakeClock::new();
    clock.set_unix_time(unix_time);
    options().clock(Arc::new(clock))
}

fn now() -> Duration {
    SystemClock.unix_time()
}

fn values() -> Value {
    json!({"n": 1, "path": "/é 😀\u{0}", "cart": {"items": ["tea", 1.5, null, 9_007_199_254_740_993_u64]}})
}

/// The session's values as JSON.
fn seen(session: &CarriedSession) -> Value {
    let entry = |name: &str| {
        let value: Option<Value> = session.get(name).unwrap();
        (name.to_owned(), value.unwrap())
    };
    session.keys().map(entry).collect()
}

fn filled(store: &impl CarriedStore, values: &Value) -> CarriedSession {
    let mut session = store.create();
    for (name, value) in values.as_object().unwrap() {
        session.insert(name.as_str(), value).unwrap();
    }
    session
}

/// Without what the library adds for itself.
fn without_own(mut values: Value) -> Value {
    let entries = values.as_object_mut().unwrap();
    entries.retain(|name, _| !name.starts_with('\0') && name != "exp");
    values
}

async fn why_not(store: &impl CarriedStore, cookie: &Value) -> TestResult<Unusable> {
    match store.load(cookie.as_str().ok_or("no cookie")?).await {
        Err(LoadCarriedError::Unusable(why)) => Ok(why),
        other => Err(format!("{other:?}").into()),
    }
}

#[tokio::test]
async fn a_fernet_cookie_of_python_is_read_and_ours_by_python() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let key = FernetKey::generate();
    let text = key.expose_base64();
    let store = EncryptedCookie::fernet(FernetKeys::new(&key), options());

    let written = json!({"do": "write", "key": *text, "values": values(), "at": now().as_secs()});
    let written = python.ask(Fernet, written).await?;
    let session = store.load(written["cookie"].as_str().unwrap()).await?;
    assert_eq!(seen(&session), values());

    let cookie = store.commit(&session).await?;
    let read = json!({"do": "read", "key": *text, "cookie": cookie, "ttl": TTL_SECONDS});
    let read = python.ask(Fernet, read).await?;
    assert_eq!(without_own(read["values"].clone()), values());
    Ok(())
}

#[tokio::test]
async fn sanic_cookies_hands_on_what_rust_began_and_back() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let key = FernetKey::generate();
    let text = key.expose_base64();
    let list = MemoryRevocationList::new();
    let options = options().revocation_list(list);
    let store = EncryptedCookie::fernet(FernetKeys::new(&key), options);
    let values = json!({"foo": "bar", "n": [1, 2.5, null]});
    let session = filled(&store, &values);
    let cookie = store.commit(&session).await?;
    let order = json!({"do": "hand on", "key": *text, "cookie": cookie, "ttl": TTL_SECONDS});
    let answer = python.ask(SanicCookies, order).await?;
    assert_eq!(without_own(answer["values"].clone()), values);

    let handed_on = answer["cookie"].as_str().unwrap();
    assert_ne!(handed_on, cookie);
    let back = store.load(handed_on).await?;
    assert_eq!(seen(&back), values);
    assert_eq!(back.absolute_end(), session.absolute_end());
    assert_eq!(back.handle(), session.handle());

    store.destroy(&back).await?;
    assert_eq!(why_not(&store, &json!(cookie)).await?, Unusable::Ended);

    let written = json!({"do": "write", "key": *text, "values": values});
    let written = python.ask(SanicCookies, written).await?;
    let session = store.load(written["cookie"].as_str().unwrap()).await?;
    assert_eq!(seen(&session), values);
    Ok(())
}

#[tokio::test]
async fn a_fernet_cookie_that_is_late_early_or_of_another_key_is_refused_by_both() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let (key, other) = (FernetKey::generate(), FernetKey::generate());
    let text = key.expose_base64();
    let keys = FernetKeys::new(&key);
    let store = EncryptedCookie::fernet(keys.clone(), options());
    let made = [
        (options_at(now() - HOUR), FernetKeys::new(&key)),
        (options_at(now() + HOUR), FernetKeys::new(&key)),
        (options(), FernetKeys::new(&other)),
    ];
    for (options, keys) in made {
        let elsewhere = EncryptedCookie::fernet(keys, options);
        let cookie = elsewhere.commit(&elsewhere.create()).await?;
        let read = json!({"do": "read", "key": *text, "cookie": cookie, "ttl": TTL_SECONDS});
        let read = python.ask(Fernet, read).await?;
        assert_eq!(read["error"], "InvalidToken");
        assert!(store.load(&cookie).await.is_err());
    }

    let by_python = async |python: &mut CookieService, key: &str, at: Duration| {
        let order = json!({"do": "write", "key": key, "values": {}, "at": at.as_secs()});
        python.ask(Fernet, order).await
    };
    let late = by_python(&mut python, &text, now() - HOUR).await?;
    let why = why_not(&store, &late["cookie"]).await?;
    assert!(matches!(why, Unusable::Expired { .. }), "{why:?}");
    let early = by_python(&mut python, &text, now() + HOUR).await?;
    let why = why_not(&store, &early["cookie"]).await?;
    assert!(matches!(why, Unusable::FutureDated { .. }), "{why:?}");
    let stranger = by_python(&mut python, &other.expose_base64(), now()).await?;
    let why = why_not(&store, &stranger["cookie"]).await?;
    assert_eq!(why, Unusable::NotAuthentic);
    let unpadded = by_python(&mut python, &text, now()).await?;
    let unpadded = unpadded["cookie"].as_str().unwrap().trim_end_matches('=');
    assert_eq!(why_not(&store, &json!(unpadded)).await?, Unusable::Padding);
    let read = json!({"do": "read", "key": *text, "cookie": unpadded, "ttl": TTL_SECONDS});
    let read = python.ask(Fernet, read).await?;
    assert_eq!(read["error"], "InvalidToken");
    Ok(())
}

#[tokio::test]
async fn fernet_keys_are_changed_as_pythons_multi_fernet_changes_them() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let (older, newer) = (FernetKey::generate(), FernetKey::generate());
    let store = EncryptedCookie::fernet(FernetKeys::new(&newer).opening(&older), options());
    let written = json!({"do": "write", "key": *older.expose_base64(), "values": values(), "at": now().as_secs()});
    let written = python.ask(Fernet, written).await?;
    let session = store.load(written["cookie"].as_str().unwrap()).await?;
    assert!(session.needs_commit());
    let cookie = store.commit(&session).await?;
    let read =
        json!({"do": "read", "key": *newer.expose_base64(), "cookie": cookie, "ttl": TTL_SECONDS});
    let read = python.ask(Fernet, read).await?;
    assert_eq!(without_own(read["values"].clone()), values());
    Ok(())
}

#[tokio::test]
async fn microdot_and_rust_share_a_session_under_the_seeds_own_key() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let key = SigningKey::dangerous_short("top-secret");
    let store = SignedCookie::without_expiry(SigningKeys::new(&key), "session")?;
    let order = |what: &str, cookie: &Value, values: Value| json!({"do": what, "key": "top-secret", "cookie": cookie, "values": values});

    let susan = json!({"username": "susan"});
    let saved = order("write", &Value::Null, susan.clone());
    let saved = python.ask(Microdot, saved).await?;
    let mut session = store.load(saved["cookie"].as_str().unwrap()).await?;
    assert_eq!(seen(&session), susan);
    // The very same token, so both sides can be told apart by nothing.
    let again = store.commit(&session).await?;
    assert_eq!(json!(again), saved["cookie"]);

    session.insert("cart", json!({"items": ["é 😀", 1.5]}))?;
    let cookie = json!(store.commit(&session).await?);
    let read = python
        .ask(Microdot, order("read", &cookie, json!({})))
        .await?;
    assert_eq!(read["values"], seen(&session));
    let more = order("write", &cookie, json!({"n": 2}));
    let more = python.ask(Microdot, more).await?;
    let session = store.load(more["cookie"].as_str().unwrap()).await?;
    assert_eq!(session.get("n")?, Some(2));
    assert!(session.contains_key("cart"));
    let deleted = python
        .ask(Microdot, order("delete", &cookie, json!({})))
        .await?;
    assert!(matches!(deleted["cookie"].as_str(), None | Some("")));
    Ok(())
}

#[tokio::test]
async fn an_expiry_is_kept_by_both() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let key = SigningKey::generate();
    let keys = SigningKeys::new(&key);
    let store = SignedCookie::new(keys.clone(), options());
    let read = |cookie: &str| json!({"do": "read", "key": key.expose_text(), "cookie": cookie});

    let session = filled(&store, &values());
    let cookie = store.commit(&session).await?;
    for library in [PyJwt, Microdot] {
        let answer = python.ask(library, read(&cookie)).await?;
        assert_eq!(without_own(answer["values"].clone()), values());
    }
    // microdot hands the ends on with the rest.
    let save =
        json!({"do": "write", "key": key.expose_text(), "cookie": cookie, "values": {"m": 1}});
    let saved = python.ask(Microdot, save).await?;
    let back = store.load(saved["cookie"].as_str().unwrap()).await?;
    assert_eq!(back.get("m")?, Some(1));
    assert_eq!(back.absolute_end(), session.absolute_end());

    let before = SignedCookie::new(keys, options_at(now() - HOUR));
    let late = before.commit(&before.create()).await?;
    let answer = python.ask(PyJwt, read(&late)).await?;
    assert_eq!(answer["error"], "ExpiredSignatureError");
    let why = why_not(&store, &json!(late)).await?;
    assert!(matches!(why, Unusable::Expired { .. }), "{why:?}");
    Ok(())
}

#[tokio::test]
async fn tokens_of_pyjwt_that_are_wrong_are_refused_for_their_reason() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let key = SigningKey::generate();
    let store = SignedCookie::without_expiry(SigningKeys::new(&key), "session")?;
    let now = now().as_secs();
    for (claims, algorithm) in [
        (json!({"exp": now - 3_600}), "HS256"),
        (json!({"nbf": now + 3_600}), "HS256"),
        (json!({"iat": now + 3_600}), "HS256"),
        (json!({"aud": "web"}), "HS256"),
        (json!({"sub": 7}), "HS256"),
        (json!({"jti": 7}), "HS256"),
        (json!({"exp": "soon"}), "HS256"),
        (json!({}), "HS512"),
        (json!({}), "none"),
    ] {
        let write = json!({"do": "write", "key": key.expose_text(), "values": claims, "algorithm": algorithm});
        let written = python.ask(PyJwt, write).await?;
        let why = why_not(&store, &written["cookie"]).await?;
        let as_expected = match (algorithm, claims.as_object().unwrap().keys().next()) {
            ("HS256", Some(name)) if name == "exp" => match why {
                Unusable::Expired { .. } => claims["exp"].is_number(),
                Unusable::Claim { name } => name == "exp",
                _ => false,
            },
            ("HS256", Some(name)) if name == "nbf" || name == "iat" => {
                matches!(why, Unusable::FutureDated { .. })
            }
            ("HS256", _) => matches!(why, Unusable::Claim { .. }),
            _ => why == Unusable::WrongAlgorithm,
        };
        assert!(as_expected, "{claims} {algorithm}: {why:?}");
        // And they read an empty session there.
        let read = json!({"do": "read", "key": key.expose_text(), "cookie": written["cookie"]});
        let read = python.ask(Microdot, read).await?;
        assert_eq!(read["values"], json!({}), "{claims} {algorithm}");
    }
    let other = SigningKey::generate();
    let write = json!({"do": "write", "key": other.expose_text(), "values": {}});
    let written = python.ask(PyJwt, write).await?;
    assert_eq!(
        why_not(&store, &written["cookie"]).await?,
        Unusable::NotAuthentic
    );
    Ok(())
}

/// Whatever a commit lets through, PyJWT reads.
#[tokio::test]
async fn registered_claims_that_are_written_are_read_by_pyjwt() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut python = CookieService::start().await?;
    let key = SigningKey::generate();
    let store = SignedCookie::without_expiry(SigningKeys::new(&key), "session")?;
    let now = now().as_secs();
    let (mut written, mut refused) = (0, 0);
    for name in ["exp", "nbf", "iat", "aud", "iss", "sub", "jti"] {
        for value in [
            json!(null),
            json!(true),
            json!(0),
            json!(now - 60),
            json!(now + 3_600),
            json!(1e300),
            json!("text"),
            json!(""),
            json!([]),
            json!(["a"]),
            json!({}),
        ] {
            let mut session = store.create();
            session.insert(name, &value)?;
            match store.commit(&session).await {
                Err(_) => refused += 1,
                Ok(cookie) => {
                    let read = json!({"do": "read", "key": key.expose_text(), "cookie": cookie});
                    let read = python.ask(PyJwt, read).await?;
                    assert_eq!(read["values"], json!({name: value}), "{read}");
                    let save = json!({"do": "write", "key": key.expose_text(), "cookie": cookie, "values": {"m": 1}});
                    let saved = python.ask(Microdot, save).await?;
                    assert_eq!(saved["values"]["m"], 1, "{name} {value}: {saved}");
                    written += 1;
                }
            }
        }
    }
    assert!(written > 10 && refused > 30, "{written} {refused}");
    Ok(())
}
