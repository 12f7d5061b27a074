use axum::{Router, routing::get};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use session_core::SessionId;
use session_web::{CurrentUser, HeaderPolicy, SessionLayer};

use crate::support::*;

const ANSWER: HeaderName = HeaderName::from_static("x-session-id");

async fn post_with(app: &Router, path: &str, name: HeaderName, value: &str) -> Answer {
    send(app, request(Method::POST, path).header(name, value)).await
}

fn bearer() -> Router {
    app(SessionLayer::new(in_memory()).header(HeaderPolicy::bearer()))
}

#[tokio::test]
async fn a_bearer_token_names_the_session_and_a_new_one_comes_in_a_header() {
    let app = bearer();
    let first = post_it(&app, "/add", "").await;
    assert!(first.sets_no_cookie());
    assert_eq!(first.all(header::CACHE_CONTROL), ["no-store"]);
    let id = first.all(ANSWER)[0];
    assert!(id.parse::<SessionId>().is_ok());
    for (n, scheme) in ["Bearer", "bearer", "BEARER", "Bearer "]
        .into_iter()
        .enumerate()
    {
        let value = format!("{scheme} {id}");
        let next = post_with(&app, "/add", header::AUTHORIZATION, &value).await;
        assert_eq!(next.text, (n + 2).to_string());
        assert!(next.all(ANSWER).is_empty());
        assert!(next.all(header::CACHE_CONTROL).is_empty());
    }
    let out = post_with(
        &app,
        "/logout",
        header::AUTHORIZATION,
        &format!("Bearer {id}"),
    )
    .await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(out.sets_no_cookie());
    assert!(out.all(ANSWER).is_empty());
    let after = send(
        &app,
        request(Method::GET, "/read").header(header::AUTHORIZATION, format!("Bearer {id}")),
    );
    assert_eq!(after.await.text, "none");
}

#[tokio::test]
async fn a_named_header_carries_the_id_both_ways() {
    let name = HeaderName::from_static("x-auth");
    let other = HeaderName::from_static("x-new");
    for (policy, answered) in [
        (HeaderPolicy::named(name.clone()), &name),
        (
            HeaderPolicy::named(name.clone()).answer_in(other.clone()),
            &other,
        ),
    ] {
        let app = app(SessionLayer::new(in_memory()).header(policy));
        let first = post_it(&app, "/add", "").await;
        let id = first.all(answered.clone())[0];
        assert_eq!(post_with(&app, "/add", name.clone(), id).await.text, "2");
        let bearer = format!("Bearer {id}");
        assert_eq!(
            post_with(&app, "/add", header::AUTHORIZATION, &bearer)
                .await
                .text,
            "1"
        );
    }
}

#[tokio::test]
async fn a_cookie_names_nothing_where_headers_do_and_the_other_way_round() {
    let sessions = in_memory();
    let id = stored(&sessions).await;
    let by_header = app(SessionLayer::new(sessions.clone()).header(HeaderPolicy::bearer()));
    assert_eq!(
        get_it(&by_header, "/read", &cookie_of(&id)).await.text,
        "none"
    );
    let by_cookie = app(SessionLayer::new(sessions));
    let get = request(Method::GET, "/read")
        .header(header::AUTHORIZATION, format!("Bearer {}", id.expose()));
    assert_eq!(send(&by_cookie, get).await.text, "none");
}

#[tokio::test]
async fn headers_that_name_no_session_are_no_error_and_two_are() {
    let sessions = in_memory();
    let (one, other) = (stored(&sessions).await, stored(&sessions).await);
    let app = app(SessionLayer::new(sessions).header(HeaderPolicy::bearer()));
    for nonsense in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer \"x\"",
        &"A".repeat(10 * 1024),
    ] {
        let get = request(Method::GET, "/read").header(header::AUTHORIZATION, nonsense);
        assert_eq!(send(&app, get).await.text, "none", "{nonsense}");
    }
    let broken = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
    let get = request(Method::GET, "/read").header(header::AUTHORIZATION, broken);
    assert_eq!(send(&app, get).await.text, "none");
    let with = |id: &SessionId| format!("Bearer {}", id.expose());
    let two = request(Method::GET, "/read")
        .header(header::AUTHORIZATION, with(&one))
        .header(header::AUTHORIZATION, with(&other));
    assert_eq!(send(&app, two).await.status, StatusCode::BAD_REQUEST);
    // Of another scheme: not ours to judge.
    let beside = request(Method::GET, "/read")
        .header(header::AUTHORIZATION, "Basic YTpi")
        .header(header::AUTHORIZATION, with(&one));
    assert_eq!(send(&app, beside).await.text, "Some(1)");
}

async fn refuses() -> StatusCode {
    StatusCode::UNAUTHORIZED
}

/// What the answer to a request that nobody is logged in for asks for.
async fn challenges(layer: SessionLayer, request: http::request::Builder) -> Vec<String> {
    let app = Router::new()
        .route("/me", get(async |_user: CurrentUser<String>| "somebody"))
        .route("/own", get(refuses))
        .layer(layer);
    let answer = send(&app, request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let challenges = answer.all(header::WWW_AUTHENTICATE).into_iter();
    challenges.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_refusal_says_how_to_log_in_with_headers() {
    let bearer = || SessionLayer::new(in_memory()).header(HeaderPolicy::bearer());
    for path in ["/me", "/own"] {
        let asked = challenges(bearer(), request(Method::GET, path)).await;
        assert_eq!(asked, ["Bearer"], "{path}");
    }
    let wrong = request(Method::GET, "/me").header(header::AUTHORIZATION, "Bearer nonsense");
    let asked = challenges(bearer(), wrong).await;
    assert_eq!(asked, ["Bearer error=\"invalid_token\""]);
    let named = HeaderPolicy::named(HeaderName::from_static("x-auth"));
    let named = SessionLayer::new(in_memory()).header(named);
    let asked = challenges(named, request(Method::GET, "/me")).await;
    assert_eq!(asked, ["Session header=\"x-auth\""]);
    // No scheme is known for cookies, and browsers would ask the user.
    let cookies = SessionLayer::new(in_memory());
    let asked = challenges(cookies, request(Method::GET, "/me")).await;
    assert!(asked.is_empty());
}

#[tokio::test]
async fn what_a_handler_asks_for_stays_and_other_answers_ask_for_nothing() {
    let basic = async || {
        (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Basic")],
        )
    };
    let app = handlers()
        .route("/basic", get(basic))
        .layer(SessionLayer::new(in_memory()).header(HeaderPolicy::bearer()));
    let answer = get_it(&app, "/basic", "").await;
    assert_eq!(answer.all(header::WWW_AUTHENTICATE), ["Basic"]);
    let answer = get_it(&app, "/ignore", "").await;
    assert!(answer.all(header::WWW_AUTHENTICATE).is_empty());
}
