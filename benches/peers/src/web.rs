//! Requests through a whole service: axum with the layer, in this process, without sockets.

use std::time::Duration;

use ::tower::ServiceExt as _;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
    routing::{get, post},
};
use clap::value_parser;
use latchkey::web::{Locked, Session, SessionError, SessionLayer};
use latchkey_benches::{Comparison, Cost, Outcome, RedisServer, Result, Run, Stopwatch};
use tower_sessions::{Session as TowerSession, SessionManagerLayer, session};
use tower_sessions_redis_store::{RedisStore as TowerStore, fred::prelude::Pool};

use crate::{table::row, tower};

/// Requests through axum, each task with a session of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many requests are under way at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64], value_parser = value_parser!(u32).range(1..))]
    tasks: Vec<u32>,
}

/// What requests go through, and what they ask for.
const SUBJECTS: [(Stack, &str, &str); 7] = [
    (Stack::Bare, "/ignore", "axum alone, session ignored"),
    (Stack::Latchkey, "/ignore", "Latchkey, session ignored"),
    (Stack::Tower, "/ignore", "tower-sessions, session ignored"),
    (Stack::Latchkey, "/read", "Latchkey, session read"),
    (Stack::Tower, "/read", "tower-sessions, session read"),
    (
        Stack::Latchkey,
        "/add",
        "Latchkey, session locked and changed",
    ),
    (
        Stack::Tower,
        "/add",
        "tower-sessions, session changed without a lock",
    ),
];

#[derive(Clone, Copy)]
enum Stack {
    Bare,
    Latchkey,
    Tower,
}

const SLICE: Duration = Duration::from_millis(400);

const HEAD: &str = "
## Requests through axum, in process

| tasks | | requests/s | lowest to highest | axum alone : this, in a round | lowest to highest | server CPU µs | client CPU µs | Latchkey : this | lowest to highest |
|--:|---|--:|:-:|--:|:-:|--:|--:|--:|:-:|
";

pub(crate) async fn measure(args: &Args, run: &Run) -> Result<String> {
    let (bench, mut text) = (Bench::new(run.slice(SLICE)).await?, HEAD.to_owned());
    for &tasks in &args.tasks {
        let mut comparison = Comparison::of(SUBJECTS.len());
        for round in 0..run.rounds() {
            let measure = async |at: usize| {
                let (stack, path, _) = SUBJECTS[at];
                bench.cost(stack, path, tasks as usize).await
            };
            comparison.round(measure).await?;
            eprintln!("{tasks} tasks: round {} of {}", round + 1, run.rounds());
        }
        for (at, (_, _, name)) in SUBJECTS.iter().enumerate() {
            let row = row(&format!("{tasks} | {name}"), &comparison, at);
            let beside = beside_ours(&comparison, at);
            text += &format!("{} {beside} |\n", row.trim_end());
        }
    }
    Ok(text)
}

/// How many times as fast Latchkey was at the same.
fn beside_ours(comparison: &Comparison<Cost>, at: usize) -> String {
    let (stack, path, _) = SUBJECTS[at];
    let ours = SUBJECTS
        .iter()
        .position(|it| matches!(it, (Stack::Latchkey, ours, _) if *ours == path));
    match (stack, ours) {
        (Stack::Tower, Some(ours)) => {
            let times = comparison.times(ours, at, |cost| cost.per_second);
            format!("{times:.2}")
        }
        _ => "|".to_owned(),
    }
}

struct Bench {
    server: RedisServer,
    bare: Router,
    latchkey: Router,
    tower: Router,
    slice: Duration,
}

impl Bench {
    async fn new(slice: Duration) -> Result<Self> {
        let server = RedisServer::start().await?;
        let ours = Router::new()
            .route("/ignore", get(async || "ignored"))
            .route("/read", get(read))
            .route("/add", post(add))
            .layer(SessionLayer::new(server.sessions().await?));
        let store: TowerStore<Pool> = TowerStore::new(tower::pool(server.url()).await?);
        let theirs = Router::new()
            .route("/ignore", get(async || "ignored"))
            .route("/read", get(tower_read))
            .route("/add", post(tower_add))
            .layer(SessionManagerLayer::new(store));
        Ok(Self {
            server,
            bare: Router::new().route("/ignore", get(async || "ignored")),
            latchkey: ours,
            tower: theirs,
            slice,
        })
    }

    async fn cost(&self, stack: Stack, path: &'static str, tasks: usize) -> Result<Cost> {
        let app = match stack {
            Stack::Bare => &self.bare,
            Stack::Latchkey => &self.latchkey,
            Stack::Tower => &self.tower,
        };
        self.server.clear_all().await?;
        let mut cookies = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            cookies.push(match stack {
                Stack::Bare => String::new(),
                _ => first_cookie(app).await?,
            });
        }
        let warm_up = self.requests(app, path, &cookies, self.slice / 10);
        let (_, mut done) = warm_up.await?;
        let before = self.server.usage().await?;
        let (outcome, more) = self.requests(app, path, &cookies, self.slice).await?;
        let usage = self.server.usage().await?.since(before);
        done.iter_mut()
            .zip(more)
            .for_each(|(done, more)| *done += more);
        if !matches!(stack, Stack::Bare) {
            check(app, path, &cookies, &done).await?;
        }
        Ok(Cost::of(outcome, usage))
    }

    async fn requests(
        &self,
        app: &Router,
        path: &'static str,
        cookies: &[String],
        span: Duration,
    ) -> Result<(Outcome, Vec<u64>)> {
        let start = Stopwatch::start();
        let mut tasks = Vec::with_capacity(cookies.len());
        for cookie in cookies {
            let (app, cookie) = (app.clone(), cookie.clone());
            tasks.push(tokio::spawn(async move {
                let mut done = 0;
                while start.elapsed() < span {
                    let status = send(&app, path, &cookie).await?.status();
                    if status != StatusCode::OK {
                        return Err(format!("{path} was answered with {status}").into());
                    }
                    done += 1;
                }
                Result::<u64>::Ok(done)
            }));
        }
        let mut done = Vec::with_capacity(tasks.len());
        for task in tasks {
            done.push(task.await??);
        }
        let elapsed = start.elapsed();
        let actions = done.iter().sum();
        Ok((Outcome { actions, elapsed }, done))
    }
}

/// Each session holds what its requests have made of it, and nothing else.
async fn check(app: &Router, path: &str, cookies: &[String], done: &[u64]) -> Result<()> {
    for (cookie, done) in cookies.iter().zip(done) {
        let changes = if path == "/add" { *done } else { 0 };
        let body = send(app, "/read", cookie).await?.into_body();
        let held = to_bytes(body, 1024).await?;
        let expected = format!("{:?}", Some(1 + changes));
        if held != expected {
            let held = String::from_utf8_lossy(&held);
            return Err(format!("after {path}, a session holds {held} and not {expected}").into());
        }
    }
    Ok(())
}

async fn send(app: &Router, path: &str, cookie: &str) -> Result<axum::response::Response> {
    let method = if path == "/add" {
        Method::POST
    } else {
        Method::GET
    };
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::COOKIE, cookie).body(Body::empty())?;
    Ok(app.clone().oneshot(request).await?)
}

async fn first_cookie(app: &Router) -> Result<String> {
    let answer = send(app, "/add", "theme=dark").await?;
    let cookie = answer.headers().get(header::SET_COOKIE);
    let cookie = cookie.ok_or("no cookie was set")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

async fn read(session: Session) -> std::result::Result<String, SessionError> {
    let Some(snapshot) = session.snapshot().await? else {
        return Ok("none".to_owned());
    };
    Ok(format!("{:?}", snapshot.get::<u64>("n")?))
}

async fn add(mut session: Locked) -> std::result::Result<String, SessionError> {
    let n = session.get::<u64>("n")?.unwrap_or(0) + 1;
    session.insert("n", n)?;
    Ok(n.to_string())
}

/// An error of tower-sessions is a 500 here.
type TowerResult = std::result::Result<String, StatusCode>;

async fn tower_read(session: TowerSession) -> TowerResult {
    Ok(format!(
        "{:?}",
        session.get::<u64>("n").await.map_err(failed)?
    ))
}

async fn tower_add(session: TowerSession) -> TowerResult {
    let n = session.get::<u64>("n").await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert("n", n).await.map_err(failed)?;
    Ok(n.to_string())
}

fn failed(error: session::Error) -> StatusCode {
    eprintln!("tower-sessions: {error}");
    StatusCode::INTERNAL_SERVER_ERROR
}
