use axum::{
    Router,
    routing::{any, get},
};
use http::{Method, StatusCode, header, request};
use serde::{Deserialize, Serialize};
use session_core::{SessionId, Sessions};
use session_web::{LoginRequired, Roles, SessionLayer, active, admin, superuser};

use crate::support::*;

#[derive(Default, Serialize, Deserialize)]
struct User {
    active: bool,
    admin: bool,
    superuser: bool,
}

impl Roles for User {
    fn is_active(&self) -> bool {
        self.active
    }

    fn is_admin(&self) -> bool {
        self.admin
    }

    fn is_superuser(&self) -> bool {
        self.superuser
    }
}

async fn logged_in(sessions: &Sessions, user: &User) -> SessionId {
    let mut guard = sessions.create();
    let id = guard.login("ada", user).unwrap();
    guard.commit().await.unwrap();
    id
}

fn service(sessions: Sessions, required: LoginRequired) -> Router {
    Router::new()
        .route("/", any(async || "passed"))
        .route("/{*path}", any(async || "passed"))
        .layer(required)
        .layer(SessionLayer::new(sessions))
}

fn page(method: Method, path: &str) -> request::Builder {
    request(method, path).header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
}

#[tokio::test]
async fn only_who_is_logged_in_passes() {
    let sessions = in_memory();
    let anonymous = cookie_of(&stored(&sessions).await);
    let user = cookie_of(&logged_in(&sessions, &User::default()).await);
    let unknown = cookie_of(&SessionId::random());
    let app = service(sessions, LoginRequired::new());
    for cookie in ["", &anonymous, &unknown, "__Host-session=x"] {
        let refused = get_it(&app, "/", cookie).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_eq!(refused.text, "Please log in.\n");
        assert_eq!(refused.all(header::CACHE_CONTROL), ["no-store"]);
        assert!(refused.sets_no_cookie());
    }
    assert_eq!(get_it(&app, "/", &user).await.text, "passed");
}

#[tokio::test]
async fn caches_store_what_is_behind_a_login_only_if_the_handler_says_so() {
    let sessions = in_memory();
    let user = cookie_of(&logged_in(&sessions, &User::default()).await);
    let cached = async || [(header::CACHE_CONTROL, "private, max-age=60")];
    let required: LoginRequired = LoginRequired::new().exclude(["/open"]);
    let app = Router::new()
        .route("/usual", get(async || "passed"))
        .route("/cached", get(cached))
        .route("/open", get(async || "passed"))
        .layer(required)
        .layer(SessionLayer::new(sessions));
    let said = async |path| {
        let answer = get_it(&app, path, &user).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.all(header::CACHE_CONTROL).join(", ")
    };
    assert_eq!(said("/usual").await, "no-store");
    assert_eq!(said("/cached").await, "private, max-age=60");
    assert_eq!(said("/open").await, "");
}

#[tokio::test]
async fn pages_are_sent_to_the_login_with_the_way_back_and_others_are_not() {
    let app = service(in_memory(), LoginRequired::new().redirect_to("/login"));
    for (path, location) in [
        ("/", "/login?next=/"),
        (
            "/cart?page=2&x=a%20b",
            "/login?next=/cart%3Fpage%3D2%26x%3Da%2520b",
        ),
        ("//evil.example", "/login"),
        ("//evil.example/%2f..", "/login"),
    ] {
        let answer = send(&app, page(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.all(header::LOCATION), [location]);
        assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
        assert_eq!(answer.all(header::VARY), ["accept"]);
    }
    // What was posted cannot be gone back to.
    let posted = send(&app, page(Method::POST, "/cart")).await;
    assert_eq!(posted.all(header::LOCATION), ["/login"]);
    for accept in ["application/json", "*/*", ""] {
        let api = request(Method::GET, "/cart").header(header::ACCEPT, accept);
        let answer = send(&app, api).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{accept}");
        assert!(answer.all(header::LOCATION).is_empty());
        assert_eq!(answer.all(header::VARY), ["accept"]);
    }
    assert_eq!(send(&app, page(Method::GET, "/login")).await.text, "passed");
    let without = service(in_memory(), LoginRequired::new());
    let answer = send(&without, page(Method::GET, "/")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn excluded_paths_pass_and_a_star_at_the_end_stands_for_all_that_begin_so() {
    let required = LoginRequired::new().exclude(["/about", "/static/*"]);
    let app = service(in_memory(), required);
    for (path, passes) in [
        ("/about", true),
        ("/about?x=1", true),
        ("/about/us", false),
        ("/About", false),
        ("/%61bout", false),
        ("/static/a.css", true),
        ("/static/", true),
        ("/static", false),
        ("/other/static/", false),
    ] {
        let answer = get_it(&app, path, "").await;
        assert_eq!(answer.status == StatusCode::OK, passes, "{path}");
    }
}

#[tokio::test]
async fn options_pass_and_all_other_methods_do_not() {
    let app = service(in_memory(), LoginRequired::new());
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE",
    ] {
        let request = request(Method::from_bytes(method.as_bytes()).unwrap(), "/");
        let passes = send(&app, request).await.status == StatusCode::OK;
        assert_eq!(passes, method == "OPTIONS", "{method}");
    }
}

#[tokio::test]
async fn anonymous_requests_pass_where_they_may_and_users_still_meet_what_is_required() {
    let sessions = in_memory();
    let user = cookie_of(&logged_in(&sessions, &User::default()).await);
    let required = LoginRequired::new()
        .allow_unauthenticated()
        .require(active::<User>);
    let app = service(sessions, required);
    assert_eq!(get_it(&app, "/", "").await.text, "passed");
    assert_eq!(get_it(&app, "/", &user).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn requirements_have_all_to_be_met() {
    let all = |active, admin, superuser| User {
        active,
        admin,
        superuser,
    };
    let table = [
        (all(false, false, false), [false, false, false, false]),
        (all(true, false, false), [true, false, false, false]),
        (all(true, true, false), [true, true, false, false]),
        (all(true, false, true), [true, false, true, false]),
        (all(true, true, true), [true, true, true, true]),
        (all(false, true, true), [false, false, false, false]),
    ];
    let required = || -> [LoginRequired; 4] {
        [
            LoginRequired::new().require(active::<User>),
            LoginRequired::new().require(admin::<User>),
            LoginRequired::new().require(superuser::<User>),
            LoginRequired::new()
                .require(async |user: User| user.admin)
                .require(superuser::<User>),
        ]
    };
    for (user, passes) in table {
        for (required, passes) in required().into_iter().zip(passes) {
            let sessions = in_memory();
            let cookie = cookie_of(&logged_in(&sessions, &user).await);
            let answer = get_it(&service(sessions, required), "/", &cookie).await;
            let expected = if passes { 200 } else { 403 };
            assert_eq!(answer.status, expected);
        }
    }
}

#[tokio::test]
async fn roles_are_nobodys_unless_said_otherwise() {
    struct Nobody;
    impl Roles for Nobody {}
    assert!(!active(Nobody).await && !admin(Nobody).await && !superuser(Nobody).await);
}

#[tokio::test]
async fn when_the_store_fails_or_the_user_cannot_be_read_nobody_passes() {
    let sessions = in_memory();
    let mut guard = sessions.create();
    let id = guard.login("ada", &"not a User").unwrap();
    guard.commit().await.unwrap();
    let required = LoginRequired::new()
        .redirect_to("/login")
        .allow_unauthenticated()
        .require(active::<User>);
    let app = service(sessions.clone(), required);
    let get_page = || page(Method::GET, "/").header(header::COOKIE, cookie_of(&id));
    assert_eq!(
        send(&app, get_page()).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    sessions
        .shutdown(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(
        send(&app, get_page()).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn a_refusal_can_be_answered_otherwise() {
    let layer = SessionLayer::new(in_memory()).on_error(|error| {
        let mut answer = http::Response::new(error.to_string());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        answer
    });
    let required: LoginRequired = LoginRequired::new();
    let app = Router::new()
        .route("/", get(async || "passed"))
        .layer(required)
        .layer(layer);
    let answer = get_it(&app, "/", "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.text, "nobody is logged in");
    assert!(answer.all(header::CONTENT_TYPE).is_empty());
    assert_eq!(answer.all(header::CACHE_CONTROL), ["no-store"]);
}

#[tokio::test]
async fn outside_of_the_layer_nobody_passes() {
    let required: LoginRequired = LoginRequired::new().allow_unauthenticated();
    let app = Router::new()
        .route("/", get(async || "passed"))
        .layer(required);
    let answer = get_it(&app, "/", "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn only_paths_of_this_site_are_gone_on_to() {
    use session_web::safe_next;
    for safe in ["/", "/a", "/a/b?c=d#e", "/a//b", "/a?next=https://x"] {
        assert_eq!(safe_next(safe), Some(safe));
    }
    for unsafe_one in [
        "",
        "a",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/a\r\nSet-Cookie: a=b",
        " /a",
        "https://evil.example",
        "javascript:alert(1)",
        "/ä",
    ] {
        assert_eq!(safe_next(unsafe_one), None, "{unsafe_one:?}");
    }
}
