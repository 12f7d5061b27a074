//! A login in a few lines: `cargo run --example login`, then open <http://127.0.0.1:3000>. With `--redis URL`, any number of
//! them share their sessions.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::{convert::Infallible, error::Error, net::SocketAddr};

use axum::{Router, response::Html, routing::get};
use clap::Parser;
use latchkey::{
    MemoryStore, RedisStore, Sessions,
    web::{
        CookiePolicy, Credentials, CurrentUser, Locked, LoginHandler, LoginRequired, LogoutHandler,
        RefuseCrossSite, SessionError, SessionLayer,
    },
};

/// A small web service with a login.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Keeps the sessions in this Redis; without it, in the memory of this process.
    #[arg(long)]
    redis: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let sessions = match &args.redis {
        Some(url) => Sessions::new(RedisStore::connect(url).await?),
        None => Sessions::new(MemoryStore::new()),
    };
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    println!("http://{} (ada, lovelace)", listener.local_addr()?);
    axum::serve(listener, service(sessions)?).await?;
    Ok(())
}

fn service(sessions: Sessions) -> latchkey::Result<Router> {
    // Without TLS, and so for the loopback address alone; a service behind TLS leaves this out.
    let cookie = CookiePolicy::default().development();
    let required: LoginRequired = LoginRequired::new().redirect_to("/login");
    Ok(Router::new()
        .route("/", get(home))
        .route_service("/login", LoginHandler::new(Users))
        .route_service("/logout", LogoutHandler::new().redirect_to("/login"))
        .layer(required)
        .layer(RefuseCrossSite::new())
        .layer(SessionLayer::new(sessions).cookie(cookie)?))
}

/// Locked before it runs and committed before the answer goes out: no visit is lost, whichever replica it lands on.
async fn home(
    user: CurrentUser<String>,
    mut session: Locked,
) -> Result<Html<String>, SessionError> {
    let visits = session.get("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(Html(page(&user, visits)))
}

fn page(user: &str, visits: u32) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Home</title>\
         <h1>Hello, {user}</h1><p>Visit number {visits} of this session.</p>\
         <form method=\"post\" action=\"/logout\"><button>Log out</button></form>"
    )
}

/// The users. A real service looks them up, and verifies a slow hash of the password, such as argon2id.
#[derive(Clone)]
struct Users;

impl Credentials for Users {
    type User = String;
    type Error = Infallible;

    async fn check(&self, username: &str, password: &str) -> Result<Option<String>, Infallible> {
        let is_right = username == "ada" && password == "lovelace";
        Ok(is_right.then(|| "Ada".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::{Method, Request, StatusCode, header},
        response::Response,
    };
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: &Router, method: Method, path: &str, cookie: &str, form: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:3000")
            .header(header::ACCEPT, "text/html")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookie)
            .body(Body::from(form.to_owned()));
        app.clone().oneshot(request.unwrap()).await.unwrap()
    }

    fn header_of(answer: &Response, name: header::HeaderName) -> &str {
        answer.headers()[name].to_str().unwrap()
    }

    #[tokio::test]
    async fn a_visitor_logs_in_comes_back_and_logs_out() {
        let app = service(Sessions::new(MemoryStore::new())).unwrap();
        let sent_away = ask(&app, Method::GET, "/", "", "").await;
        assert_eq!(sent_away.status(), StatusCode::SEE_OTHER);
        assert_eq!(header_of(&sent_away, header::LOCATION), "/login?next=/");
        let form = "username=ada&password=lovelace&next=/";
        let login = ask(&app, Method::POST, "/login", "", form).await;
        assert_eq!(header_of(&login, header::LOCATION), "/");
        let cookie = header_of(&login, header::SET_COOKIE);
        assert!(cookie.starts_with("session="));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        for visit in 1..=2 {
            let home = ask(&app, Method::GET, "/", &cookie, "").await;
            let body = to_bytes(home.into_body(), 1 << 16).await.unwrap();
            assert_eq!(body, page("Ada", visit));
        }
        ask(&app, Method::POST, "/logout", &cookie, "").await;
        let after = ask(&app, Method::GET, "/", &cookie, "").await;
        assert_eq!(after.status(), StatusCode::SEE_OTHER);
    }
}
