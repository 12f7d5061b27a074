use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use session_core::{CommitError, Error, Fault, ReadError, SessionData, SessionId};
use session_postgres::{GinoSessions, Postgres};
use tokio::task::JoinSet;

use crate::support::{Table, TestResult, about};

/// As sanic-cookies documents it.
const TABLE: &str = "CREATE TABLE sessions (created_at timestamp without time zone NOT NULL, \
    expires_at timestamp without time zone, sid character varying, val character varying, \
    CONSTRAINT sessions_pkey PRIMARY KEY (sid))";

async fn start() -> TestResult<Option<(Table, GinoSessions)>> {
    let Some(table) = Table::schema().await? else {
        return Ok(None);
    };
    table.client.batch_execute(TABLE).await?;
    let postgres = Postgres::connect(&table.url).await?;
    // On a busy machine calls are slow, and not lost.
    let postgres = postgres.call_timeout(Duration::from_secs(20));
    let sessions = GinoSessions::new(&postgres).await?;
    Ok(Some((table, sessions)))
}

async fn stored(table: &Table, id: &SessionId) -> TestResult<(Value, f64)> {
    let sql = "SELECT val, extract(epoch FROM expires_at - now() AT TIME ZONE 'UTC')::float8 \
        FROM sessions WHERE sid = $1";
    let row = table.client.query_one(sql, &[&id.expose()]).await?;
    Ok((serde_json::from_str(row.get(0))?, row.get(1)))
}

/// A row as somebody else writes it.
async fn put(table: &Table, id: &SessionId, val: Option<&str>, left: f64) -> TestResult {
    let sql = "INSERT INTO sessions VALUES (now(), now() AT TIME ZONE 'UTC' + make_interval(secs => $3), $1, $2) \
        ON CONFLICT (sid) DO UPDATE SET val = EXCLUDED.val, expires_at = EXCLUDED.expires_at";
    table
        .client
        .execute(sql, &[&id.expose(), &val, &left])
        .await?;
    Ok(())
}

fn add_one(session: &mut SessionData) -> Result<u32, Error> {
    Ok(session.modify("n", |n: &mut u32| {
        *n += 1;
        *n
    })?)
}

#[tokio::test]
async fn what_was_committed_is_a_row_of_json_and_is_loaded() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    let mut session = sessions.create();
    let id = session.id().clone();
    assert!(sessions.load(&id).await?.is_none());
    session.insert("foo", "bär")?;
    session.insert("n", [Some(1.5), None])?;
    sessions.commit(session).await?;
    let (val, left) = stored(&table, &id).await?;
    assert_eq!(val, json!({"foo": "bär", "n": [1.5, null]}));
    assert!(about(left, 30.0 * 86_400.0), "{left}");

    let mut session = sessions.load(&id).await?.ok_or("no session")?;
    assert_eq!(session.get::<String>("foo")?.as_deref(), Some("bär"));
    session.remove("n");
    sessions.commit(session).await?;
    assert_eq!(stored(&table, &id).await?.0, json!({"foo": "bär"}));
    Ok(())
}

#[tokio::test]
async fn no_update_is_lost_between_many() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    let session = sessions.create();
    let id = session.id().clone();
    sessions.commit(session).await?;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (sessions, id) = (sessions.clone(), id.clone());
        tasks.spawn(async move {
            for _ in 0..25 {
                sessions
                    .update(&id, add_one)
                    .await?
                    .ok_or(ReadError::ShutDown)?;
            }
            Ok::<_, Error>(())
        });
    }
    for done in tasks.join_all().await {
        done?;
    }
    assert_eq!(stored(&table, &id).await?.0, json!({"n": 100}));
    Ok(())
}

// The row changes in the middle of an update's body, which does not await.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_over_what_python_wrote_meanwhile_is_a_conflict() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    let id = SessionId::random_hex();
    put(&table, &id, Some(r#"{"n":1}"#), 600.0).await?;
    let mut session = sessions.load(&id).await?.ok_or("no session")?;
    add_one(&mut session)?;
    put(&table, &id, Some(r#"{"n":10}"#), 600.0).await?;
    let refused = sessions.commit(session).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    let (val, left) = stored(&table, &id).await?;
    assert!(val == json!({"n": 10}) && about(left, 600.0));

    // An update does its change once more.
    let mut tries = 0;
    let n: Result<_, Error> = sessions
        .update(&id, |session| {
            tries += 1;
            if tries == 1 {
                let put = put(&table, &id, Some(r#"{"n":20}"#), 600.0);
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put))
                    .expect("it is stored");
            }
            add_one(session)
        })
        .await;
    assert_eq!((n?, tries), (Some(21), 2));
    Ok(())
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_brought_back() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    let (removed, expired) = (SessionId::random_hex(), SessionId::random_hex());
    for id in [&removed, &expired] {
        put(&table, id, Some(r#"{"n":1}"#), 600.0).await?;
    }
    let mut slow = Vec::new();
    for id in [&removed, &expired] {
        let mut session = sessions.load(id).await?.ok_or("no session")?;
        add_one(&mut session)?;
        slow.push(session);
    }
    assert!(sessions.destroy(&removed).await?);
    assert!(!sessions.destroy(&removed).await?);
    put(&table, &expired, Some(r#"{"n":1}"#), -1.0).await?;
    for session in slow {
        let refused = sessions.commit(session).await;
        assert!(
            matches!(refused, Err(CommitError::Destroyed)),
            "{refused:?}"
        );
    }
    for id in [&removed, &expired] {
        assert!(sessions.load(id).await?.is_none());
        let updated: Result<_, Error> = sessions.update(id, add_one).await;
        assert_eq!(updated?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_new_session_never_takes_anothers_place() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    let session = sessions.create();
    let id = session.id().clone();
    put(&table, &id, Some("{}"), -600.0).await?;
    let refused = sessions.commit(session).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    assert!(sessions.load(&id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_commit_moves_the_end_as_far_as_the_session_asks_for() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    let sessions = sessions.expiry(Duration::from_secs(900));
    let asked: BTreeMap<&str, (Value, f64)> = [
        ("a number", (json!(300), 300.0)),
        ("nothing", (json!(0), 900.0)),
        ("text", (json!("300"), 900.0)),
        ("too much", (json!(u64::MAX), 10.0 * 366.0 * 86_400.0)),
    ]
    .into();
    for (name, (own, expected)) in asked {
        let id = SessionId::random_hex();
        put(&table, &id, Some("{}"), 60.0).await?;
        let ask =
            |session: &mut SessionData| Ok::<_, Error>(session.insert("_override_expiry", &own)?);
        sessions.update(&id, ask).await?.ok_or("no session")?;
        let (_, left) = stored(&table, &id).await?;
        assert!(about(left, expected), "{name}: {left}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_session_is_none_and_what_cannot_be_read_is_an_error_and_stays() -> TestResult {
    let Some((table, sessions)) = start().await? else {
        return Ok(());
    };
    assert!(sessions.load(&SessionId::random()).await?.is_none());
    assert!(!sessions.destroy(&SessionId::random()).await?);
    let id = SessionId::random_hex();
    put(&table, &id, None, 600.0).await?;
    assert!(sessions.load(&id).await?.is_none());
    for bad in ["", "[1]", r#"{"a":1"#, r#"{"a":1,"a":2}"#, "a secret"] {
        put(&table, &id, Some(bad), 600.0).await?;
        let error = sessions.load(&id).await.unwrap_err();
        assert!(matches!(error, ReadError::Record(_)), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("secret") && !shown.contains(id.expose()),
            "{shown}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_table_of_another_service_is_refused() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let postgres = Postgres::connect(&table.url).await?;
    let error = GinoSessions::new(&postgres).await.unwrap_err();
    assert!(matches!(error.fault(), Fault::Unsuitable(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown() -> TestResult {
    let Some((table, patient)) = start().await? else {
        return Ok(());
    };
    let short = Duration::from_millis(300);
    let postgres = Postgres::connect(&table.url).await?.call_timeout(short);
    let sessions = GinoSessions::new(&postgres).await?;
    let mut session = sessions.create();
    session.insert("value", "a secret")?;
    let id = session.id().clone();
    let shown = format!("{session:?}");
    assert!(
        !shown.contains("secret") && !shown.contains(id.expose()),
        "{shown}"
    );
    patient.commit(session).await?;
    let mut session = sessions.load(&id).await?.ok_or("no session")?;
    add_one(&mut session)?;
    table
        .client
        .batch_execute("BEGIN; LOCK TABLE sessions")
        .await?;
    let error = sessions.commit(session).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    table.client.batch_execute("COMMIT").await?;
    assert!(patient.load(&id).await?.is_some());
    Ok(())
}
