use axum::Router;
use http::{HeaderName, Method, StatusCode, header};
use session_core::{
    ConfigError, MemoryStore, SealingCipher, SealingKey, SealingKeys, SessionId, Sessions,
};
use session_testkit::{Stopping, Stops};
use session_web::{CookiePolicy, HeaderPolicy, SessionLayer};

use crate::support::*;

/// Seals IDs, or signs them.
type Form = fn(SessionLayer, SealingKeys) -> Result<SessionLayer, ConfigError>;

const FORMS: [Form; 2] = [SessionLayer::seal_ids, SessionLayer::sign_ids];

fn keyed(form: Form, sessions: &Sessions, keys: SealingKeys) -> Router {
    app(form(SessionLayer::new(sessions.clone()), keys).unwrap())
}

fn named(
    form: Form,
    sessions: &Sessions,
    keys: &SealingKeys,
    name: impl Into<String>,
) -> Result<Router, ConfigError> {
    let policy = CookiePolicy::named(name.into());
    let layer = SessionLayer::new(sessions.clone()).cookie(policy)?;
    Ok(app(form(layer, keys.clone())?))
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
        let app = keyed(SessionLayer::seal_ids, &sessions, keys);
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
async fn the_cookie_holds_a_signed_id_that_comes_back() {
    let sessions = in_memory();
    let app = keyed(SessionLayer::sign_ids, &sessions, one_key().1);
    let answer = post_it(&app, "/add", "").await;
    let pair = answer.pair();
    let value = pair.split_once('=').unwrap().1;
    assert!(value.parse::<SessionId>().is_err());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(value.bytes().all(fits), "{value}");
    assert_eq!(value.len(), 115);
    let again = post_it(&app, "/add", &pair).await;
    assert_eq!(again.text, "2");
    assert!(again.sets_no_cookie(), "nothing has changed");
    let out = post_it(&app, "/logout", &pair).await;
    assert_eq!(out.pair(), format!("{NAME}="));
    assert_eq!(read_with(&app, value).await, "none");
}

#[tokio::test]
async fn what_no_key_of_the_ring_has_made_costs_no_flight_and_stores_nothing() {
    for form in FORMS {
        let stops = Stops::nowhere();
        let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
        let (_, keys) = one_key();
        let app = keyed(form, &sessions, keys.clone());
        let value = first(&app).await;
        let foreign = first(&keyed(form, &sessions, one_key().1)).await;
        let other = named(form, &sessions, &keys, "other").unwrap();
        let other = first(&other).await;
        let plain = stored(&sessions).await;
        let asked = stops.passed();
        let mut texts = vec![
            foreign,
            other,
            plain.expose().to_owned(),
            value[..value.len() - 1].to_owned(),
            format!("{value}A"),
            format!("{value}="),
            "A".repeat(10 * 1024),
            String::new(),
            "%".to_owned(),
        ];
        // A change anywhere: in format, key ID, ID and code.
        for at in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            texts.push(String::from_utf8(changed).unwrap());
        }
        for text in texts {
            assert_eq!(read_with(&app, &text).await, "none", "{text}");
            let touched = post_it(&app, "/touch", &format!("{NAME}={text}")).await;
            assert_eq!(touched.status, StatusCode::OK);
            assert!(touched.sets_no_cookie());
        }
        assert_eq!(stops.passed(), asked);
        assert_eq!(read_with(&app, &value).await, "Some(1)");
    }
}

#[tokio::test]
async fn keys_can_be_replaced_and_retired() {
    for form in FORMS {
        let sessions = in_memory();
        let (old, new) = (SealingKey::generate(), SealingKey::generate());
        let before = keyed(form, &sessions, SealingKeys::new(&old));
        let value = first(&before).await;
        let pair = format!("{NAME}={value}");
        // The new key is known everywhere before it seals.
        let known = keyed(form, &sessions, SealingKeys::new(&old).opening(&new));
        assert_eq!(read_with(&known, &value).await, "Some(1)");
        let during = keyed(form, &sessions, SealingKeys::new(&new).opening(&old));
        assert!(
            get_it(&during, "/read", &pair).await.sets_no_cookie(),
            "a read commits nothing"
        );
        let renewed = post_it(&during, "/add", &pair).await;
        assert_eq!(renewed.text, "2");
        let renewed = renewed.pair();
        assert_eq!(get_it(&known, "/read", &renewed).await.text, "Some(2)");
        assert!(post_it(&during, "/touch", &renewed).await.sets_no_cookie());
        let after = keyed(form, &sessions, SealingKeys::new(&new));
        assert_eq!(
            read_with(&after, &value).await,
            "none",
            "its key is retired"
        );
        assert_eq!(get_it(&after, "/read", &renewed).await.text, "Some(2)");
    }
}

#[tokio::test]
async fn keys_come_into_use_without_ending_any_session() {
    for form in FORMS {
        let sessions = in_memory();
        let (_, keys) = one_key();
        let plain = app(SessionLayer::new(sessions.clone()));
        let pair = post_it(&plain, "/add", "").await.pair();
        let reads = keyed(form, &sessions, keys.clone().open_only());
        let writes = keyed(form, &sessions, keys.clone().accept_unsealed());
        let requires = keyed(form, &sessions, keys);
        // Replicas that only read go on telling IDs as they are.
        let second = first(&reads).await;
        assert!(second.parse::<SessionId>().is_ok());
        assert_eq!(get_it(&reads, "/read", &pair).await.text, "Some(1)");
        let written = post_it(&writes, "/add", &pair).await.pair();
        for app in [&reads, &writes, &requires] {
            assert_eq!(get_it(app, "/read", &written).await.text, "Some(2)");
        }
        assert_eq!(get_it(&requires, "/read", &pair).await.text, "none");
    }
}

#[tokio::test]
async fn one_form_follows_the_other_without_ending_any_session() {
    let [seal, sign] = FORMS;
    for (from, to) in [(seal, sign), (sign, seal)] {
        let sessions = in_memory();
        let (_, keys) = one_key();
        let before = keyed(from, &sessions, keys.clone());
        let after = keyed(to, &sessions, keys);
        let old = post_it(&before, "/add", "").await.pair();
        assert_eq!(get_it(&after, "/read", &old).await.text, "Some(1)");
        let new = post_it(&after, "/add", &old).await;
        assert_eq!(new.text, "2");
        assert_ne!(new.pair(), old, "it is written anew");
        assert!(
            post_it(&after, "/touch", &new.pair())
                .await
                .sets_no_cookie()
        );
        // Replicas that have not changed yet read it as well.
        assert_eq!(get_it(&before, "/read", &new.pair()).await.text, "Some(2)");
    }
}

#[tokio::test]
async fn what_keys_make_is_for_one_name() {
    for form in FORMS {
        let sessions = in_memory();
        let (_, keys) = one_key();
        let one = named(form, &sessions, &keys, "one").unwrap();
        let two = named(form, &sessions, &keys, "two").unwrap();
        let pair = post_it(&one, "/add", "").await.pair();
        assert_eq!(get_it(&one, "/read", &pair).await.text, "Some(1)");
        let moved = pair.replace("__Host-one", "__Host-two");
        assert_eq!(get_it(&two, "/read", &moved).await.text, "none");
    }
}

#[tokio::test]
async fn headers_carry_what_keys_make_too() {
    for form in FORMS {
        let layer = SessionLayer::new(in_memory()).header(HeaderPolicy::bearer());
        let app = app(form(layer, one_key().1).unwrap());
        let first = post_it(&app, "/add", "").await;
        let told = first.all(HeaderName::from_static("x-session-id"))[0].to_owned();
        assert!(told.parse::<SessionId>().is_err());
        let read =
            request(Method::GET, "/read").header(header::AUTHORIZATION, format!("Bearer {told}"));
        assert_eq!(send(&app, read).await.text, "Some(1)");
    }
}

/// RFC 6265bis, section 5.7: name and value together have at most 4,096 bytes.
#[tokio::test]
async fn names_that_leave_no_room_for_what_keys_make_are_refused() {
    for (form, longest) in FORMS.into_iter().zip([3959, 3971]) {
        let sessions = in_memory();
        let (_, keys) = one_key();
        let name = |longest| "n".repeat(longest);
        let app = named(form, &sessions, &keys, name(longest)).unwrap();
        let pair = post_it(&app, "/add", "").await.pair();
        assert!(pair.len() - "=".len() <= 4096, "{}", pair.len());
        assert_eq!(get_it(&app, "/read", &pair).await.text, "Some(1)");
        // Fits with an ID as it is, and not with what a key makes of it.
        let too_long = || CookiePolicy::named(name(longest + 1));
        let layer = SessionLayer::new(sessions.clone()).cookie(too_long());
        assert!(form(layer.unwrap(), keys.clone()).is_err());
        let layer = form(SessionLayer::new(sessions), keys).unwrap();
        assert!(layer.cookie(too_long()).is_err());
    }
}
