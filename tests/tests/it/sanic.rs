//! Sessions that a Rust service shares with a Python service that uses sanic-cookies.

use latchkey::{AcquireError, CommitError, SanicStore, SessionData, SessionId, Sessions};
use latchkey_tests::{
    TestResult,
    foreign::{Library, SanicService},
};
use redis::Value;
use serde_json::json;
use session_testkit::servers::RedisServer;

/// Both services on a server of their own.
struct Both {
    server: RedisServer,
    python: SanicService,
    rust: Sessions,
}

impl Both {
    async fn start() -> TestResult<Self> {
        let server = RedisServer::start().await?;
        let rust = Sessions::new(SanicStore::connect(&server.url()).await?);
        let python = SanicService::start(&server.url()).await?;
        Ok(Self {
            server,
            python,
            rust,
        })
    }

    async fn left_ms(&self, id: &str) -> TestResult<i64> {
        match self
            .server
            .command(&["PTTL", &format!("session:{id}")])
            .await?
        {
            Value::Int(left) => Ok(left),
            other => Err(format!("{other:?}").into()),
        }
    }
}

fn add_one(data: &mut SessionData) -> latchkey::Result<()> {
    Ok(data.modify("n", |n: &mut u32| *n += 1)?)
}

#[tokio::test]
async fn a_session_that_python_began_goes_on_in_rust_and_back() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut both = Both::start().await?;
    let values = json!({"n": 1, "path": "/é 😀", "cart": {"items": ["tea", 1.5, null]}});
    let (_, cookie) = both.python.write(None, &values).await?;
    let id = SessionId::from_hex(&cookie)?;

    let mut session = both.rust.lock(&id).await?;
    assert_eq!(session.get::<String>("path")?.as_deref(), Some("/é 😀"));
    add_one(&mut session)?;
    session.insert("user", "Zoë/1")?;
    session.commit().await?;

    let (seen, same) = both.python.read(Some(&cookie)).await?;
    let mut expected = values;
    expected["n"] = json!(2);
    expected["user"] = json!("Zoë/1");
    assert_eq!((seen, same), (expected, cookie.clone()));

    both.python.write(Some(&cookie), &json!({"n": 10})).await?;
    both.rust.update(&id, add_one).await?;
    let (seen, _) = both.python.read(Some(&cookie)).await?;
    assert_eq!(seen["n"], 11);
    Ok(())
}

#[tokio::test]
async fn a_session_that_rust_began_is_one_in_python() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut both = Both::start().await?;
    let mut session = both.rust.create();
    session.insert("n", 1)?;
    let id = session.id().clone();
    session.commit().await?;

    let (seen, same) = both.python.read(Some(id.expose())).await?;
    assert_eq!((seen, same.as_str()), (json!({"n": 1}), id.expose()));
    both.python
        .write(Some(id.expose()), &json!({"n": 2}))
        .await?;
    both.rust.update(&id, add_one).await?;
    let (seen, _) = both.python.read(Some(id.expose())).await?;
    assert_eq!(seen, json!({"n": 3}));
    Ok(())
}

#[tokio::test]
async fn rust_overwrites_nothing_that_python_wrote_meanwhile() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut both = Both::start().await?;
    let (_, cookie) = both.python.write(None, &json!({"n": 1})).await?;
    let id = SessionId::from_hex(&cookie)?;
    let mut session = both.rust.lock(&id).await?;
    add_one(&mut session)?;
    both.python.write(Some(&cookie), &json!({"n": 10})).await?;
    let refused = session.commit().await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    let (seen, _) = both.python.read(Some(&cookie)).await?;
    assert_eq!(seen, json!({"n": 10}));
    Ok(())
}

/// The limit that the documentation states: Python asks for no lock and looks at no version.
#[tokio::test]
async fn python_overwrites_what_rust_committed_meanwhile() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut both = Both::start().await?;
    let (_, cookie) = both.python.write(None, &json!({"n": 1})).await?;
    let id = SessionId::from_hex(&cookie)?;
    both.python.begin_write(&cookie, &json!({"m": 1})).await?;
    both.rust.update(&id, add_one).await?;
    both.python.end_write().await?;
    let snapshot = both.rust.snapshot(&id).await?.ok_or("no session")?;
    assert_eq!(snapshot.get("n")?, Some(1));
    assert_eq!(snapshot.get("m")?, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_login_in_python_keeps_its_time_in_rust_and_a_logout_in_either_ends_it() -> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut both = Both::start().await?;
    let user = json!({"user_id": 7});
    for logout_in_python in [true, false] {
        let (_, anonymous) = both.python.write(None, &json!({"n": 1})).await?;
        let (_, cookie) = both.python.login(Some(&anonymous), &user, 3_600).await?;
        let old = SessionId::from_hex(&anonymous)?;
        assert!(both.rust.snapshot(&old).await?.is_none());
        let id = SessionId::from_hex(&cookie)?;
        let mut session = both.rust.lock(&id).await?;
        let seen: Option<serde_json::Value> = session.get("current_user")?;
        assert_eq!(seen.as_ref(), Some(&user));
        session.insert("seen", true)?;
        session.commit().await?;
        let left = both.left_ms(&cookie).await?;
        assert!((3_500_000..=3_600_000).contains(&left), "{left}");

        if logout_in_python {
            both.python.logout(&cookie).await?;
        } else {
            both.rust.destroy(&id).await?;
        }
        assert!(both.rust.snapshot(&id).await?.is_none());
        let (seen, other) = both.python.read(Some(&cookie)).await?;
        assert_eq!(seen, json!({}));
        assert_ne!(other, cookie);
    }
    Ok(())
}

/// The other limit: a request of Python that is late brings a session back, for Python, until Rust looks.
#[tokio::test]
async fn what_python_brings_back_after_a_logout_in_rust_is_none_in_rust_and_ends_there()
-> TestResult {
    if Library::are_skipped()? {
        return Ok(());
    }
    let mut both = Both::start().await?;
    let (_, cookie) = both.python.write(None, &json!({"n": 1})).await?;
    let id = SessionId::from_hex(&cookie)?;
    both.python.begin_write(&cookie, &json!({"n": 2})).await?;
    both.rust.destroy(&id).await?;
    both.python.end_write().await?;
    let (seen, _) = both.python.read(Some(&cookie)).await?;
    assert_eq!(seen, json!({"n": 2}));

    let refused = both.rust.lock(&id).await;
    assert!(
        matches!(refused, Err(AcquireError::NoSession)),
        "{refused:?}"
    );
    let (seen, _) = both.python.read(Some(&cookie)).await?;
    assert_eq!(seen, json!({}));
    Ok(())
}
