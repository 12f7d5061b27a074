use axum::Router;
use http::{HeaderName, Method, StatusCode, header};
use session_core::{
    ConfigError, MemoryStore, SealingCipher, SealingKey, SealingKeys, SessionId, Sessions,
};
use session_testkit::{Stopping, Stops};
use session_web::{CookiePolicy, HeaderPolicy, SessionLayer};

use crate::support::*;

fn sealing(sessions: &Sessions, keys: SealingKeys) -> Router {
    app(SessionLayer::new(sessions.clone()).seal_ids(keys).unwrap())
}

fn one_key() -> (SealingKey, SealingKeys) {
    let key = SealingKey::generate();
    let keys = SealingKeys::new(&key);
    (key, keys)
}

/// The value of the cookie that the first change sets.
async fn first(app: &Router) -> String {
    let pair = post_it(app, "/add", "").await.pair();
    pair.split_once('=').unwrap().1.to_owned()
}

async fn read_with(app: &Router, value: &str) -> String {
    get_it(app, "/read", &format!("{NAME}={value}")).await.text
}

#[tokio::test]
async fn the_cookie_holds_a_sealed_id_that_comes_back() {
    let sessions = in_memory();
    let (_, keys) = one_key();
    for keys in [keys.clone(), keys.cipher(SealingCipher::Aes256Gcm)] {
        let app = sealing(&sessions, keys);
        let answer = post_it(&app, "/add", "").await;
        let pair = answer.pair();
        let value = pair.split_once('=').unwrap().1;
        assert!(value.parse::<SessionId>().is_err());
        // RFC 6265bis, section 4.1.1: the characters of a cookie's value.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(
            value.bytes().all(fits) && value.len() <= 128,
            "{}",
            value.len()
        );
        assert_eq!(read_with(&app, value).await, "Some(1)");
        let again = post_it(&app, "/add", &pair).await;
        assert_eq!(again.text, "2");
        assert!(again.sets_no_cookie(), "nothing has changed");
        // Twice the same session, in two texts of one ID.
        let out = post_it(&app, "/logout", &pair).await;
        assert_eq!(out.pair(), format!("{NAME}="));
        assert_eq!(read_with(&app, value).await, "none");
    }
}

#[tokio::test]
async fn what_no_key_of_the_ring_has_sealed_costs_no_flight() {
    let stops = Stops::nowhere();
    let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
    let (_, keys) = one_key();
    let app = sealing(&sessions, keys);
    let value = first(&app).await;
    let other = sealing(&sessions, one_key().1);
    let foreign = first(&other).await;
    let plain = stored(&sessions).await;
    let asked = stops.passed();
    let mut broken = value.clone().into_bytes();
    let last = broken.len() - 1;
    broken[last / 2] = if broken[last / 2] == b'A' { b'B' } else { b'A' };
    let texts = [
        foreign,
        plain.expose().to_owned(),
        String::from_utf8(broken).unwrap(),
        value[..last].to_owned(),
        format!("{value}A"),
        format!("{value}="),
        "A".repeat(10 * 1024),
        String::new(),
        "%".to_owned(),
    ];
    for text in texts {
        assert_eq!(read_with(&app, &text).await, "none", "{text}");
        let touched = post_it(&app, "/touch", &format!("{NAME}={text}")).await;
        assert_eq!(touched.status, StatusCode::OK);
        assert!(touched.sets_no_cookie());
    }
    assert_eq!(stops.passed(), asked);
    assert_eq!(read_with(&app, &value).await, "Some(1)");
}

#[tokio::test]
async fn keys_can_be_replaced_and_retired() {
    let sessions = in_memory();
    let (old, new) = (SealingKey::generate(), SealingKey::generate());
    let before = sealing(&sessions, SealingKeys::new(&old));
    let value = first(&before).await;
    let pair = format!("{NAME}={value}");
    // The new key is known everywhere before it seals.
    let known = sealing(&sessions, SealingKeys::new(&old).opening(&new));
    assert_eq!(read_with(&known, &value).await, "Some(1)");
    let during = sealing(&sessions, SealingKeys::new(&new).opening(&old));
    assert!(
        get_it(&during, "/read", &pair).await.sets_no_cookie(),
        "a read commits nothing"
    );
    let renewed = post_it(&during, "/add", &pair).await;
    assert_eq!(renewed.text, "2");
    let renewed = renewed.pair();
    assert_eq!(get_it(&known, "/read", &renewed).await.text, "Some(2)");
    assert!(post_it(&during, "/touch", &renewed).await.sets_no_cookie());
    let after = sealing(&sessions, SealingKeys::new(&new));
    assert_eq!(
        read_with(&after, &value).await,
        "none",
        "its key is retired"
    );
    assert_eq!(get_it(&after, "/read", &renewed).await.text, "Some(2)");
}

#[tokio::test]
async fn sealing_begins_without_ending_any_session() {
    let sessions = in_memory();
    let (_, keys) = one_key();
    let plain = app(SessionLayer::new(sessions.clone()));
    let pair = post_it(&plain, "/add", "").await.pair();
    let reads = sealing(&sessions, keys.clone().open_only());
    let seals = sealing(&sessions, keys.clone().accept_unsealed());
    let requires = sealing(&sessions, keys);
    // Replicas that only read go on telling IDs as they are.
    let second = first(&reads).await;
    assert!(second.parse::<SessionId>().is_ok());
    assert_eq!(get_it(&reads, "/read", &pair).await.text, "Some(1)");
    let sealed = post_it(&seals, "/add", &pair).await.pair();
    for app in [&reads, &seals, &requires] {
        assert_eq!(get_it(app, "/read", &sealed).await.text, "Some(2)");
    }
    assert_eq!(get_it(&requires, "/read", &pair).await.text, "none");
}

#[tokio::test]
async fn a_seal_is_for_one_name() {
    let sessions = in_memory();
    let (_, keys) = one_key();
    let layer = |policy| SessionLayer::new(sessions.clone()).cookie(policy);
    let one = app(layer(CookiePolicy::named("one"))
        .unwrap()
        .seal_ids(keys.clone())
        .unwrap());
    let two = app(layer(CookiePolicy::named("two"))
        .unwrap()
        .seal_ids(keys)
        .unwrap());
    let pair = post_it(&one, "/add", "").await.pair();
    assert_eq!(get_it(&one, "/read", &pair).await.text, "Some(1)");
    let moved = pair.replace("__Host-one", "__Host-two");
    assert_eq!(get_it(&two, "/read", &moved).await.text, "none");
}

#[tokio::test]
async fn headers_carry_sealed_ids_too() {
    let (_, keys) = one_key();
    let layer = SessionLayer::new(in_memory()).header(HeaderPolicy::bearer());
    let app = app(layer.seal_ids(keys).unwrap());
    let first = post_it(&app, "/add", "").await;
    let told = first.all(HeaderName::from_static("x-session-id"))[0].to_owned();
    assert!(told.parse::<SessionId>().is_err());
    let read =
        request(Method::GET, "/read").header(header::AUTHORIZATION, format!("Bearer {told}"));
    assert_eq!(send(&app, read).await.text, "Some(1)");
}

#[test]
fn names_that_leave_no_room_for_a_sealed_id_are_refused() {
    let sessions = in_memory();
    let (_, keys) = one_key();
    // Fits with an ID as it is, and not with a sealed one: RFC 6265bis, section 5.7.
    let policy = || CookiePolicy::named("n".repeat(4000));
    let layer = SessionLayer::new(sessions.clone())
        .cookie(policy())
        .unwrap();
    let refused: Result<_, ConfigError> = layer.seal_ids(keys.clone());
    assert!(refused.is_err());
    let layer = SessionLayer::new(sessions).seal_ids(keys).unwrap();
    assert!(layer.cookie(policy()).is_err());
}
