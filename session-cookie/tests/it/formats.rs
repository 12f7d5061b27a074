use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use session_cookie::{
    CookieOptions, EncryptedCookie, FernetKey, FernetKeys, SignedCookie, SigningKey, SigningKeys,
};
use session_core::{
    CarriedStore, Clock as _, CommitCarriedError, LoadCarriedError, SealingCipher, SealingKey,
    SealingKeys, Unusable,
};
use session_testkit::FakeClock;

use crate::fixtures::{NAME, options, timeouts};

async fn why_not(store: &impl CarriedStore, record: &str) -> Unusable {
    match store.load(record).await {
        Err(LoadCarriedError::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn top_secret() -> SigningKeys {
    SigningKeys::new(&SigningKey::dangerous_short("top-secret"))
}

#[tokio::test]
async fn an_aead_cookie_opens_under_its_own_name_only() {
    let keys = SealingKeys::new(&SealingKey::generate());
    let named = |name| EncryptedCookie::aead(keys.clone(), CookieOptions::new(name).unwrap());
    let record = named("admin")
        .commit(&named("admin").create())
        .await
        .unwrap();
    assert!(named("admin").load(&record).await.is_ok());
    let why = why_not(&named("session"), &record).await;
    assert_eq!(why, Unusable::NotAuthentic);
}

#[tokio::test]
async fn an_aead_cookie_names_its_key_and_its_cipher() {
    let (key, other) = (SealingKey::generate(), SealingKey::generate());
    let options = || CookieOptions::new(NAME).unwrap();
    let store = EncryptedCookie::aead(SealingKeys::new(&key), options());
    let record = store.commit(&store.create()).await.unwrap();
    let stranger = EncryptedCookie::aead(SealingKeys::new(&other), options());
    let unknown = Unusable::UnknownKey { id: key.id() };
    assert_eq!(why_not(&stranger, &record).await, unknown);

    let by_aes = SealingKeys::new(&key).cipher(SealingCipher::Aes256Gcm);
    let loaded = EncryptedCookie::aead(by_aes, options()).load(&record).await;
    assert!(loaded.unwrap().needs_commit(), "under the cipher before");

    let mut bytes = URL_SAFE_NO_PAD.decode(&record).unwrap();
    bytes[0] = 9;
    let why = why_not(&store, &URL_SAFE_NO_PAD.encode(bytes)).await;
    assert_eq!(why, Unusable::WrongAlgorithm);
}

#[tokio::test]
async fn padding_is_as_each_format_has_it() {
    let clock = FakeClock::new();
    let fernet = FernetKeys::new(&FernetKey::generate());
    let fernet = EncryptedCookie::fernet(fernet, options(&clock));
    let record = fernet.commit(&fernet.create()).await.unwrap();
    let unpadded = record.trim_end_matches('=');
    assert_ne!(unpadded, record);
    assert_eq!(why_not(&fernet, unpadded).await, Unusable::Padding);

    let aead = SealingKeys::new(&SealingKey::generate());
    let aead = EncryptedCookie::aead(aead, options(&clock));
    let record = aead.commit(&aead.create()).await.unwrap();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(&record).unwrap());
    assert!(padded == record || why_not(&aead, &padded).await == Unusable::Padding);
    assert_eq!(
        why_not(&aead, &format!("{record}==")).await,
        Unusable::Padding
    );
}

#[tokio::test]
async fn a_session_that_somebody_else_began_gets_an_absolute_end() {
    let clock = FakeClock::new();
    let begun = SignedCookie::without_expiry(top_secret(), NAME).unwrap();
    let mut session = begun.create();
    session.insert("username", "susan").unwrap();
    let record = begun.commit(&session).await.unwrap();

    let store = SignedCookie::new(top_secret(), options(&clock));
    let loaded = store.load(&record).await.unwrap();
    assert!(loaded.needs_commit() && loaded.absolute_end().is_some());
    assert_eq!(loaded.keys().collect::<Vec<_>>(), ["username"]);
    let record = store.commit(&loaded).await.unwrap();
    clock.advance(Duration::from_secs(601));
    let why = why_not(&store, &record).await;
    assert!(matches!(why, Unusable::Expired { .. }), "{why:?}");
}

#[tokio::test]
async fn without_expiry_a_jwt_is_what_microdot_writes() {
    let store = SignedCookie::without_expiry(top_secret(), "session").unwrap();
    let mut session = store.create();
    session.insert("username", "susan").unwrap();
    // jwt.encode({"username": "susan"}, "top-secret", algorithm="HS256") of PyJWT 2.15.1.
    let by_python = concat!(
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
        "eyJ1c2VybmFtZSI6InN1c2FuIn0.",
        "cxOZS6bxxYitZDw6xn9TPZQd1UUSiV163OGCf3X3Q9U"
    );
    assert_eq!(store.commit(&session).await.unwrap(), by_python);
    assert_eq!(store.load(by_python).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_claim_that_microdot_would_read_an_empty_session_for_is_refused_and_nothing_is_lost() {
    let clock = FakeClock::new();
    let endless = SignedCookie::without_expiry(top_secret(), NAME).unwrap();
    let ending = SignedCookie::new(top_secret(), options(&clock));
    let stores: [&dyn CarriedStore; 2] = [&endless, &ending];
    for store in stores {
        let mut session = store.create();
        session.insert("keep", 7).unwrap();
        session.insert("sub", 7).unwrap();
        let refused = store.commit(&session).await;
        let claim = matches!(refused, Err(CommitCarriedError::Claim { name: "sub", .. }));
        assert!(claim, "{refused:?}");
        session.insert("sub", "7").unwrap();
        let record = store.commit(&session).await.unwrap();
        let loaded = store.load(&record).await.unwrap();
        assert_eq!(loaded.get("keep").unwrap(), Some(7));
        assert_eq!(loaded.get::<String>("sub").unwrap().as_deref(), Some("7"));
    }
}

#[tokio::test]
async fn the_claim_exp_is_the_stores_own_where_sessions_end() {
    let clock = FakeClock::new();
    let store = SignedCookie::new(top_secret(), options(&clock));
    let mut session = store.create();
    session.insert("exp", 4_000_000_000_u64).unwrap();
    let refused = store.commit(&session).await;
    let claim = matches!(refused, Err(CommitCarriedError::Claim { name: "exp", .. }));
    assert!(claim, "{refused:?}");
}

#[tokio::test]
async fn an_expiry_that_somebody_else_has_set_is_kept_where_sessions_do_not_end() {
    let store = SignedCookie::without_expiry(top_secret(), NAME).unwrap();
    let mut session = store.create();
    session.insert("exp", 4_000_000_000_u64).unwrap();
    let record = store.commit(&session).await.unwrap();
    let loaded = store.load(&record).await.unwrap();
    assert_eq!(loaded.get("exp").unwrap(), Some(4_000_000_000_u64));
    assert_eq!(store.commit(&loaded).await.unwrap(), record);
}

#[test]
fn names_that_no_cookie_can_have_are_refused() {
    for bad in ["", "a b", "a=b", "a;b", "é", "a\n", &"a".repeat(129)] {
        assert!(CookieOptions::new(bad).is_err(), "{bad:?}");
        assert!(SignedCookie::without_expiry(top_secret(), bad).is_err());
    }
    for good in ["session", "__Host-session", "a.b_c-1", &"a".repeat(128)] {
        assert!(CookieOptions::new(good).is_ok(), "{good:?}");
    }
}

#[tokio::test]
async fn the_name_takes_its_part_of_the_4096_bytes() {
    for name in ["s", NAME] {
        let store = SignedCookie::without_expiry(top_secret(), name).unwrap();
        assert_eq!(store.max_len(), 4_096 - name.len());
    }
}

#[tokio::test]
async fn a_jwt_ends_within_its_session_and_never_before_its_time() {
    let clock = FakeClock::new();
    let store = SignedCookie::new(top_secret(), options(&clock));
    let expiry = |record: &str| {
        let claims = record.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        Duration::from_secs(claims["exp"].as_u64().unwrap())
    };
    let session = store.create();
    clock.advance(Duration::from_millis(1_300));
    let record = store.commit(&session).await.unwrap();
    let idle_end = clock.unix_time() + timeouts().idle();
    assert_eq!(expiry(&record), idle_end + Duration::from_millis(700));

    let absolute_end = Duration::from_millis(session.absolute_end().unwrap().as_millis());
    clock.set_unix_time(absolute_end - Duration::from_secs(60));
    let record = store.commit(&session).await.unwrap();
    assert_eq!(expiry(&record), absolute_end);
}
