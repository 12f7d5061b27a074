use http::{HeaderValue, Method, StatusCode, header};
use session_core::{MemoryStore, SessionId, Sessions};
use session_testkit::{Stopping, Stops};
use session_web::SessionLayer;

use crate::support::*;

#[tokio::test]
async fn two_different_cookies_of_our_name_are_refused_when_the_session_is_used() {
    let sessions = in_memory();
    let (one, other) = (stored(&sessions).await, stored(&sessions).await);
    let app = app(SessionLayer::new(sessions.clone()));
    let both = format!("{}; {}", cookie_of(&one), cookie_of(&other));
    let with_nonsense = format!("{}; {NAME}=x", cookie_of(&one));
    let nonsense_first = format!("{NAME}=x; {}", cookie_of(&one));
    for cookie in [&both, &with_nonsense, &nonsense_first] {
        assert_eq!(get_it(&app, "/ignore", cookie).await.status, StatusCode::OK);
        for answer in [
            get_it(&app, "/read", cookie).await,
            post_it(&app, "/add", cookie).await,
            post_it(&app, "/logout", cookie).await,
        ] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(answer.sets_no_cookie());
        }
    }
    let two_headers = request(Method::GET, "/read")
        .header(header::COOKIE, cookie_of(&one))
        .header(header::COOKIE, cookie_of(&other));
    assert_eq!(
        send(&app, two_headers).await.status,
        StatusCode::BAD_REQUEST
    );
    for id in [&one, &other] {
        assert_eq!(n_of(&sessions, id).await, Some(1));
    }
}

#[tokio::test]
async fn the_same_cookie_twice_is_one() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions));
    let twice = format!("{0}; {0}", cookie_of(&id));
    assert_eq!(get_it(&app, "/read", &twice).await.text, "Some(1)");
}

#[tokio::test]
async fn what_is_no_id_names_no_session_and_stores_nothing() {
    let stops = Stops::nowhere();
    let sessions = Sessions::new(Stopping::new(MemoryStore::new(), stops.clone()));
    let app = app(SessionLayer::new(sessions.clone()));
    let id = stored(&sessions).await;
    let asked = stops.passed();
    let id = id.expose();
    let nonsense = [
        String::new(),
        "x".to_owned(),
        "%".to_owned(),
        "%zz%00".to_owned(),
        "\"\"".to_owned(),
        "====".to_owned(),
        format!("\"{id}\""),
        format!("{id}="),
        format!("{id}A"),
        id[1..].to_owned(),
        id.to_lowercase() + "!",
        id.replace(|_| true, "%41"),
        "A".repeat(10 * 1024),
    ];
    for text in nonsense {
        let cookie = format!("{NAME}={text}");
        let answer = get_it(&app, "/read", &cookie).await;
        assert_eq!(
            (answer.status, &*answer.text),
            (StatusCode::OK, "none"),
            "{text}"
        );
        assert!(answer.sets_no_cookie());
        let answer = post_it(&app, "/touch", &cookie).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.sets_no_cookie());
    }
    assert_eq!(stops.passed(), asked);
}

#[tokio::test]
async fn cookie_headers_in_any_encoding_are_taken() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions));
    for (others, expected) in [
        (&b"name=M\xfcller; "[..], "Some(1)"),
        (b"\xff\xfe; ; =; ==; a; ", "Some(1)"),
        (b"a=\"; b=;;; ", "Some(1)"),
    ] {
        let mut bytes = others.to_vec();
        bytes.extend_from_slice(cookie_of(&id).as_bytes());
        let cookie = HeaderValue::from_bytes(&bytes).unwrap();
        let read = request(Method::GET, "/read").header(header::COOKIE, cookie);
        assert_eq!(send(&app, read).await.text, expected);
    }
    let broken = HeaderValue::from_bytes(b"__Host-session=\xff\xfe").unwrap();
    let read = request(Method::GET, "/read").header(header::COOKIE, broken);
    assert_eq!(send(&app, read).await.text, "none");
}

#[tokio::test]
async fn names_are_compared_as_they_are() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let app = app(SessionLayer::new(sessions));
    for name in [
        "__host-session",
        "session",
        "__Secure-session",
        "__Host-sessions",
    ] {
        let cookie = format!("{name}={}", id.expose());
        assert_eq!(get_it(&app, "/read", &cookie).await.text, "none", "{name}");
    }
}

#[tokio::test]
async fn an_unknown_id_is_no_session_and_its_cookie_stays() {
    let app = app(SessionLayer::new(in_memory()));
    let unknown = cookie_of(&SessionId::random());
    for answer in [
        get_it(&app, "/read", &unknown).await,
        post_it(&app, "/touch", &unknown).await,
    ] {
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.sets_no_cookie());
    }
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused_and_nothing_is_stored() {
    let builder = Sessions::builder(MemoryStore::new()).max_record(64);
    let sessions = builder.build().unwrap();
    let handler =
        async |mut session: session_web::Locked| -> Result<(), session_web::SessionError> {
            Ok(session.insert("n", "x".repeat(100))?)
        };
    let app = axum::Router::new()
        .route("/", axum::routing::post(handler))
        .layer(SessionLayer::new(sessions));
    let answer = post_it(&app, "/", "").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.sets_no_cookie());
}
