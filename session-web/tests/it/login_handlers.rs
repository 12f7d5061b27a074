use std::{collections::BTreeMap, fmt};

use axum::{
    Router,
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Method, Request, StatusCode, header, request};
use session_core::{Sessions, UserId};
use session_web::{Credentials, CurrentUser, LoginHandler, LogoutHandler, SessionLayer};
use tower::ServiceExt;

use crate::support::*;

/// `ada` with the password `lovelace`, and names that make trouble.
#[derive(Clone)]
struct Users {
    sessions: Sessions,
}

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table of users is away")
    }
}

impl std::error::Error for Down {}

impl Credentials for Users {
    type User = String;
    type Error = Down;

    async fn check(&self, username: &str, password: &str) -> Result<Option<String>, Down> {
        let sessions = &self.sessions;
        match username {
            "down" => return Err(Down),
            // The password is changed while this login is checked.
            "raced" => drop(sessions.user("raced").unwrap().revoke_all().await),
            _ => {}
        }
        Ok((password == "lovelace").then(|| username.to_owned()))
    }

    async fn user_id(&self, username: &str) -> Result<Option<UserId>, Down> {
        let is_known = ["ada", "grace", "down", "raced"].contains(&username);
        Ok(is_known.then(|| UserId::try_from(username).unwrap()))
    }
}

#[derive(Clone)]
struct Hooked;

impl Credentials for Hooked {
    type User = String;
    type Error = Down;

    async fn check(&self, username: &str, password: &str) -> Result<Option<String>, Down> {
        assert_ne!(username, "banned", "its hook has answered");
        Ok((password == "lovelace").then(|| username.to_owned()))
    }

    async fn pre_login(&self, username: &str) -> Option<Response> {
        (username == "banned").then(|| StatusCode::FORBIDDEN.into_response())
    }

    async fn login_success(&self, user: &String) -> Option<Response> {
        Some(format!("welcome {user}").into_response())
    }

    async fn login_failure(&self, username: &str) -> Option<Response> {
        Some((StatusCode::IM_A_TEAPOT, format!("not {username}")).into_response())
    }
}

fn service(sessions: Sessions) -> Router {
    let users = Users {
        sessions: sessions.clone(),
    };
    Router::new()
        .route_service("/login", LoginHandler::new(users).redirect_to("/home"))
        .route_service("/logout", LogoutHandler::new().redirect_to("/bye"))
        .route(
            "/me",
            get(async |user: CurrentUser<String>| user.into_inner()),
        )
        .layer(SessionLayer::new(sessions))
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const RIGHT: &str = "username=ada&password=lovelace";

async fn submit(app: &Router, kind: &str, body: impl Into<Body>, cookie: &str) -> Answer {
    let request = Request::post("/login")
        .header(header::CONTENT_TYPE, kind)
        .header(header::COOKIE, cookie)
        .body(body.into())
        .unwrap();
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn the_page_has_a_form_that_nobody_can_frame_or_inject_into() {
    let app = service(in_memory());
    let page = get_it(&app, "/login?next=/cart", "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.all(header::CONTENT_TYPE), ["text/html; charset=utf-8"]);
    assert_eq!(page.all(header::CACHE_CONTROL), ["no-store"]);
    let policy = page.all(header::CONTENT_SECURITY_POLICY)[0];
    for directive in [
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive));
    }
    for part in [
        "method=\"post\"",
        "name=\"username\"",
        "name=\"password\" type=\"password\"",
    ] {
        assert!(page.text.contains(part), "{part}");
    }
    assert!(page.text.contains("name=\"next\" value=\"/cart\""));
    assert!(!page.text.contains("role=\"alert\""));
    assert!(!page.text.contains('{'));
    assert!(page.sets_no_cookie());
    for next in [
        "//evil.example",
        "https://evil.example",
        "%0d%0a",
        "javascript:x",
    ] {
        let page = get_it(&app, &format!("/login?next={next}"), "").await;
        assert!(!page.text.contains("name=\"next\""), "{next}");
    }
    let hostile = get_it(&app, "/login?next=/%22%3E%3Cscript%3E'", "").await;
    assert!(
        hostile
            .text
            .contains("value=\"/&quot;&gt;&lt;script&gt;&#39;\"")
    );
}

#[tokio::test]
async fn a_form_with_the_right_password_goes_on_to_where_it_says_on_this_site() {
    let app = service(in_memory());
    for (next, location) in [
        ("", "/home"),
        ("&next=/cart%3Fpage%3D2", "/cart?page=2"),
        ("&next=//evil.example", "/home"),
        ("&next=https://evil.example", "/home"),
        ("&next=/%0d%0aSet-Cookie:a=b", "/home"),
    ] {
        let answer = submit(&app, FORM, format!("{RIGHT}{next}"), "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.all(header::LOCATION), [location]);
        assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
        assert_eq!(get_it(&app, "/me", &answer.pair()).await.text, "ada");
    }
}

#[tokio::test]
async fn json_with_the_right_password_is_told_so() {
    let app = service(in_memory());
    for kind in [JSON, "Application/JSON; charset=utf-8"] {
        let right = r#"{"username":"ada","password":"lovelace"}"#;
        let answer = submit(&app, kind, right, "").await;
        assert_eq!(
            (answer.status, &*answer.text),
            (StatusCode::OK, r#"{"message":"logged in"}"#)
        );
        assert_eq!(answer.all(header::CONTENT_TYPE), [JSON]);
        assert_eq!(get_it(&app, "/me", &answer.pair()).await.text, "ada");
    }
}

#[tokio::test]
async fn unknown_users_wrong_passwords_and_disabled_users_get_one_answer() {
    let sessions = in_memory();
    sessions.user("grace").unwrap().disable().await.unwrap();
    let app = service(sessions);
    let long = format!("username={}&password=lovelace", "x".repeat(300));
    let refused = [
        "username=ada&password=wrong",
        "username=nobody&password=lovelace",
        "username=grace&password=lovelace",
        &long,
    ];
    let mut texts = Vec::new();
    for body in refused {
        let answer = submit(&app, FORM, body.to_owned(), "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{body}");
        assert!(answer.sets_no_cookie());
        assert!(answer.text.contains("role=\"alert\""));
        texts.push(answer.text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
    let json = submit(&app, JSON, r#"{"username":"ada","password":"wrong"}"#, "").await;
    assert_eq!(json.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        json.text,
        r#"{"message":"User name or password is wrong."}"#
    );
    // The way back is not lost.
    let again = submit(&app, FORM, "username=ada&password=x&next=/cart", "").await;
    assert!(again.text.contains("value=\"/cart\""));
}

#[tokio::test]
async fn a_password_that_is_changed_during_the_login_refuses_it() {
    let app = service(in_memory());
    let answer = submit(&app, FORM, "username=raced&password=lovelace", "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.sets_no_cookie());
}

#[tokio::test]
async fn bad_input_has_a_status_each() {
    let app = service(in_memory());
    let large = format!("username=ada&password={}", "x".repeat(16 * 1024));
    for (kind, body, status) in [
        (FORM, "", 422),
        (FORM, "username=ada", 422),
        (FORM, "username=ada&password=", 422),
        (FORM, "password=lovelace", 422),
        (JSON, "{}", 422),
        (JSON, r#"{"username":"ada"}"#, 422),
        (JSON, "", 400),
        (JSON, "{", 400),
        (JSON, r#"{"username":1,"password":2}"#, 400),
        (FORM, "username=ada&username=grace&password=lovelace", 400),
        (FORM, "username=%ff&password=%", 401),
        (FORM, &large, 413),
        ("text/plain", RIGHT, 415),
        ("multipart/form-data", RIGHT, 415),
        ("", RIGHT, 415),
    ] {
        let answer = submit(&app, kind, body.to_owned(), "").await;
        assert_eq!(answer.status, status, "{kind} {body}");
        assert!(answer.sets_no_cookie());
        assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
    }
    for (path, allowed) in [("/login", "GET, HEAD, POST"), ("/logout", "POST")] {
        let answer = send(&app, request(Method::DELETE, path)).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.all(header::ALLOW), [allowed]);
    }
}

#[tokio::test]
async fn when_nobody_can_be_checked_nobody_is_logged_in() {
    let sessions = in_memory();
    let app = service(sessions.clone());
    let down = submit(&app, FORM, "username=down&password=lovelace", "").await;
    assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!down.text.contains("table"));
    assert!(down.sets_no_cookie());
    let limit = std::time::Duration::from_secs(5);
    sessions.shutdown(limit).await.unwrap();
    let down = submit(&app, FORM, RIGHT, "").await;
    assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(down.sets_no_cookie());
}

#[tokio::test]
async fn a_session_that_was_logged_in_before_is_ended() {
    let sessions = in_memory();
    let app = service(sessions.clone());
    let first = submit(&app, FORM, RIGHT, "").await.pair();
    let second = submit(&app, FORM, "username=grace&password=lovelace", &first).await;
    assert_eq!(get_it(&app, "/me", &second.pair()).await.text, "grace");
    assert_eq!(
        get_it(&app, "/me", &first).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert!(
        sessions
            .user("ada")
            .unwrap()
            .list()
            .await
            .unwrap()
            .is_empty()
    );
    // One who fails stays who it was.
    let failed = submit(&app, FORM, "username=ada&password=wrong", &second.pair()).await;
    assert!(failed.sets_no_cookie());
    assert_eq!(get_it(&app, "/me", &second.pair()).await.text, "grace");
}

#[tokio::test]
async fn hooks_may_answer_themselves() {
    let app = Router::new()
        .route_service(
            "/login",
            LoginHandler::new(Hooked).page(|page| format!("{page:?}")),
        )
        .route(
            "/me",
            get(async |user: CurrentUser<String>| user.into_inner()),
        )
        .layer(SessionLayer::new(in_memory()));
    let banned = submit(&app, FORM, "username=banned&password=lovelace", "").await;
    assert_eq!(banned.status, StatusCode::FORBIDDEN);
    let failed = submit(&app, FORM, "username=ada&password=x", "").await;
    assert_eq!(
        (failed.status, &*failed.text),
        (StatusCode::IM_A_TEAPOT, "not ada")
    );
    let right = submit(&app, FORM, RIGHT, "").await;
    assert_eq!(
        (right.status, &*right.text),
        (StatusCode::OK, "welcome ada")
    );
    assert_eq!(get_it(&app, "/me", &right.pair()).await.text, "ada");
    let refused = submit(&app, FORM, "username=ada&password=", "").await;
    assert!(
        refused.text.contains("username: \"ada\""),
        "{}",
        refused.text
    );
    assert!(
        get_it(&app, "/login?next=/a", "")
            .await
            .text
            .contains("next: Some(\"/a\")")
    );
}

fn as_page(cookie: &str) -> request::Builder {
    request(Method::POST, "/logout")
        .header(header::ACCEPT, "text/html")
        .header(header::COOKIE, cookie)
}

#[tokio::test]
async fn a_logout_is_posted_and_ends_the_session_also_a_dead_one() {
    let app = service(in_memory());
    let ada = submit(&app, FORM, RIGHT, "").await.pair();
    assert_eq!(
        get_it(&app, "/logout", &ada).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(get_it(&app, "/me", &ada).await.text, "ada");
    let out = send(&app, as_page(&ada)).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert_eq!(out.all(header::LOCATION), ["/bye"]);
    assert_eq!(out.pair(), format!("{NAME}="));
    assert_eq!(
        get_it(&app, "/me", &ada).await.status,
        StatusCode::UNAUTHORIZED
    );

    let dead = post_it(&app, "/logout", &ada).await;
    assert_eq!(
        (dead.status, &*dead.text),
        (StatusCode::OK, r#"{"message":"logged out"}"#)
    );
    assert_eq!(dead.pair(), format!("{NAME}="));
    let none = post_it(&app, "/logout", "").await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    assert!(none.sets_no_cookie());
}

/// What the sessions of `ada` are labelled with, after a login with these headers.
async fn labels_with(
    handler: impl FnOnce(LoginHandler<Users>) -> LoginHandler<Users>,
    headers: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let sessions = in_memory();
    let users = Users {
        sessions: sessions.clone(),
    };
    let app = Router::new()
        .route_service("/login", handler(LoginHandler::new(users)))
        .layer(SessionLayer::new(sessions.clone()));
    let mut login = request(Method::POST, "/login").header(header::CONTENT_TYPE, FORM);
    for (name, value) in headers {
        login = login.header(*name, *value);
    }
    let answer = send_with(&app, login, RIGHT).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let listed = sessions.user("ada").unwrap().list().await.unwrap();
    assert_eq!(listed.len(), 1);
    listed[0].labels.clone()
}

fn by_agent(login: LoginHandler<Users>) -> LoginHandler<Users> {
    login.label("browser", |request| {
        let agent = request.headers.get(header::USER_AGENT)?;
        Some(String::from_utf8_lossy(agent.as_bytes()).into_owned())
    })
}

#[tokio::test]
async fn logins_are_labelled_by_what_the_service_makes_of_their_request() {
    let labels = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let agent = [("user-agent", "Firefox on Linux")];
    let labelled = labels_with(by_agent, &agent).await;
    assert_eq!(labelled, labels(&[("browser", "Firefox on Linux")]));
    assert_eq!(
        labels_with(by_agent, &[]).await,
        labels(&[]),
        "it says nothing"
    );
    assert_eq!(labels_with(|login| login, &agent).await, labels(&[]));
    let two = labels_with(
        |login| by_agent(login).label("path", |request| Some(request.uri.path().to_owned())),
        &agent,
    );
    let expected = [("browser", "Firefox on Linux"), ("path", "/login")];
    assert_eq!(two.await, labels(&expected));
}

/// A client may say anything of itself, and is logged in all the same.
#[tokio::test]
async fn labels_are_short_and_have_no_control_characters() {
    let long = "é".repeat(3000);
    for (sent, expected) in [
        ("x\ty", "xy".to_owned()),
        ("  padded  ", "padded".to_owned()),
        (&*long, "é".repeat(100)),
    ] {
        let labels = labels_with(by_agent, &[("user-agent", sent)]).await;
        assert_eq!(labels.get("browser"), Some(&expected));
    }
    assert!(
        labels_with(by_agent, &[("user-agent", " \t")])
            .await
            .is_empty()
    );
    // More than there is room for: the first ones.
    let many = labels_with(
        |mut login| {
            for name in ["a", "b", "c", "d", "e", "f"] {
                login = login.label(name, |_| Some("é".repeat(200)));
            }
            login
        },
        &[],
    );
    let many = many.await;
    assert_eq!(many.keys().map(String::as_str).collect::<String>(), "abcde");
}

#[tokio::test]
async fn users_who_ask_for_it_are_remembered_where_that_is_offered() {
    let sessions = in_memory();
    let day = std::time::Duration::from_secs(24 * 3600);
    let timeouts = session_core::Timeouts::new(10 * day, 30 * day).unwrap();
    let users = Users {
        sessions: sessions.clone(),
    };
    let offered = Router::new()
        .route_service("/login", LoginHandler::new(users).remember(timeouts))
        .layer(SessionLayer::new(sessions));
    let page = get_it(&offered, "/login", "").await;
    assert!(page.text.contains("name=\"remember\" type=\"checkbox\""));
    let json = |remember: &str| {
        format!(r#"{{"username":"ada","password":"lovelace","remember":{remember}}}"#)
    };
    for (kind, body) in [
        (FORM, format!("{RIGHT}&remember=on")),
        (FORM, format!("{RIGHT}&remember=1")),
        (FORM, format!("{RIGHT}&remember=true")),
        (JSON, json("true")),
        (JSON, json("\"yes\"")),
    ] {
        let answer = submit(&offered, kind, body.clone(), "").await;
        let attributes: Vec<_> = answer.cookie().split("; ").skip(1).collect();
        let age = attributes.iter().find_map(|it| it.strip_prefix("Max-Age="));
        let age: u64 = age
            .unwrap_or_else(|| panic!("{body}: {attributes:?}"))
            .parse()
            .unwrap();
        let expected = (30 * day).as_secs();
        assert!((expected - 60..=expected).contains(&age), "{body}: {age}");
        for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
            assert!(attributes.contains(&attribute), "{attribute}");
        }
        assert_eq!(attributes.len(), 5, "{attributes:?}");
    }
    let unasked = [
        "",
        "&remember=",
        "&remember=0",
        "&remember=off",
        "&remember=false",
    ];
    for body in unasked.map(|more| format!("{RIGHT}{more}")) {
        let answer = submit(&offered, FORM, body, "").await;
        assert!(!answer.cookie().contains("Max-Age"));
    }
    let answer = submit(&offered, JSON, json("false"), "").await;
    assert!(!answer.cookie().contains("Max-Age"));
    // Where it is not offered, nobody is asked and nobody is remembered.
    let app = service(in_memory());
    assert!(!get_it(&app, "/login", "").await.text.contains("remember"));
    let answer = submit(&app, FORM, format!("{RIGHT}&remember=on"), "").await;
    assert!(!answer.cookie().contains("Max-Age"));
}
