use std::{sync::Arc, time::Duration};

use session_core::{
    Applied, Change, Codec, Delivery, Error, Fault, MemoryStore, Revision, Row, SecondaryPolicy,
    SecondaryStore, SessionHandle, Sessions, StoreTime, Version,
};
use session_postgres::{Postgres, PostgresSecondary, migrations};
use session_testkit::{secondary::SecondaryFixture, servers::PostgresServer};

use crate::{schema::Schema, support::TestResult};

async fn schema() -> Arc<Schema> {
    let schema = Schema::new().await.expect("a server can be had");
    Arc::new(schema.expect("these tests are not left out one by one"))
}

async fn open(schema: &Schema) -> PostgresSecondary {
    let postgres = schema.postgres().await.expect("the server is there");
    let secondary = PostgresSecondary::new(&postgres, "analytics").await;
    secondary.expect("the tables are there")
}

/// The body as bytes.
struct AsBytes(Arc<Schema>, PostgresSecondary);

impl SecondaryFixture for AsBytes {
    type Store = PostgresSecondary;

    async fn fresh() -> Self {
        let schema = schema().await;
        let store = open(&schema).await;
        Self(schema, store)
    }

    fn store(&self) -> PostgresSecondary {
        self.1.clone()
    }

    async fn elsewhere(&self) -> PostgresSecondary {
        open(&self.0).await
    }
}

mod as_bytes {
    session_testkit::secondary_store_suite!(super::AsBytes);
}

/// One key for each value.
struct AsJson(Arc<Schema>, PostgresSecondary);

impl SecondaryFixture for AsJson {
    type Store = PostgresSecondary;

    const CODEC: Codec = Codec::Json;

    async fn fresh() -> Self {
        let schema = schema().await;
        let store = open(&schema).await.with_json_values();
        Self(schema, store)
    }

    fn store(&self) -> PostgresSecondary {
        self.1.clone()
    }

    async fn elsewhere(&self) -> PostgresSecondary {
        open(&self.0).await.with_json_values()
    }
}

mod as_json {
    session_testkit::secondary_store_suite!(super::AsJson);
}

fn change(now: StoreTime, codec: Codec, body: &'static [u8]) -> Change {
    Change {
        session: SessionHandle::random(),
        version: Version::stored(Revision(7)),
        row: Some(Row {
            created: now,
            absolute_end: now.after(Duration::from_secs(3_600)),
            idle_end: now.after(Duration::from_secs(60)),
            user: None,
            codec,
            is_sealed: false,
            body: body.into(),
        }),
    }
}

fn now() -> StoreTime {
    let clock: &dyn session_lock::Clock = &session_lock::SystemClock;
    StoreTime::default().after(clock.unix_time())
}

#[tokio::test]
async fn values_can_be_queried_one_by_one_whatever_codec_they_came_in() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let secondary = open(&schema).await.with_json_values();
    let bodies: [(Codec, &[u8]); 2] = [
        (Codec::Json, b"{\"theme\":\"dark\",\"visits\":7}"),
        (Codec::MessagePack, b"\x82\xa5theme\xa4dark\xa6visits\x07"),
    ];
    for (codec, body) in bodies {
        let change = change(now(), codec, body);
        assert_eq!(secondary.apply(&change).await?, Applied::Changed);
    }
    let sql = "SELECT values->>'theme', (values->>'visits')::int, absolute_end > now() \
        FROM latchkey_secondary WHERE name = 'analytics'";
    let rows = schema.client.query(sql, &[]).await?;
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.get(0), row.get(1), row.get(2)), ("dark", 7, true));
    }
    Ok(())
}

#[tokio::test]
async fn a_sealed_record_has_no_values_to_query() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let mut sealed = change(now(), Codec::MessagePack, b"secret");
    if let Some(row) = &mut sealed.row {
        row.is_sealed = true;
    }
    let secondary = open(&schema).await;
    let error = secondary.clone().with_json_values().apply(&sealed).await;
    let error = error.unwrap_err();
    assert!(matches!(error.fault(), Fault::Unsuitable(_)) && !error.is_retryable());
    assert_eq!(secondary.apply(&sealed).await?, Applied::Changed);
    assert_eq!(secondary.load(sealed.session).await?, sealed.row);
    Ok(())
}

#[tokio::test]
async fn two_secondaries_in_one_database_know_nothing_of_each_other() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    let audit = PostgresSecondary::new(&postgres, "audit").await?;
    let analytics = open(&schema).await;
    let change = change(now(), Codec::Json, b"{}");
    assert_eq!(audit.apply(&change).await?, Applied::Changed);
    assert_eq!(analytics.load(change.session).await?, None);
    let later = now().after(Duration::from_secs(1_800));
    analytics.seen(change.session, later).await?;
    assert_eq!(audit.load(change.session).await?, change.row);
    assert_ne!(audit.place(), analytics.place());
    assert_eq!(analytics.place(), open(&schema).await.place());
    for name in ["", &"x".repeat(101), "\0"] {
        PostgresSecondary::new(&postgres, name).await.unwrap_err();
    }
    Ok(())
}

#[tokio::test]
async fn a_row_does_not_outlive_its_absolute_end() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let secondary = open(&schema).await;
    let mut change = change(now(), Codec::Json, b"{}");
    if let Some(row) = &mut change.row {
        row.absolute_end = row.created;
    }
    assert_eq!(secondary.apply(&change).await?, Applied::Changed);
    assert_eq!(secondary.load(change.session).await?, None);
    Ok(())
}

#[tokio::test]
async fn clean_up_forgets_an_end_after_a_day_and_not_before() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let secondary = open(&schema).await;
    let ended = |number| Change {
        session: SessionHandle::random(),
        version: Version::ended(Revision(number)),
        row: None,
    };
    secondary.apply(&ended(1)).await?;
    let age = "UPDATE latchkey_secondary SET forget_ms = forget_ms - 86400000";
    schema.client.batch_execute(age).await?;
    let lives = change(now(), Codec::Json, b"{}");
    secondary.apply(&ended(2)).await?;
    secondary.apply(&lives).await?;
    assert_eq!(secondary.clean_up().await?, 1);
    assert_eq!(schema.count("latchkey_secondary").await?, 2);
    assert_eq!(secondary.load(lives.session).await?, lives.row);
    Ok(())
}

/// A service starts although its secondary is down, and that gets everything when it is there.
#[tokio::test]
async fn a_secondary_that_is_down_keeps_no_service_from_starting() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    server.stop().await?;
    let postgres = Postgres::unchecked(&server.url())?;
    let reports = PostgresSecondary::unchecked(&postgres, "reports")?.with_json_values();
    let policy = SecondaryPolicy::eventual()
        .codec(Codec::Json)
        .wait_at_most(Duration::from_secs(5));
    let sessions = Sessions::builder(MemoryStore::new()).secondary("reports", reports, policy);
    let sessions = sessions.open().await?;
    let mut session = sessions.create();
    session.insert("theme", "dark")?;
    let handle = session.handle();
    let report = session.commit().await?;
    let Delivery::Failed(error) = &report.secondaries[0].delivery else {
        return Err(format!("{report:?}").into());
    };
    assert!(error.is_retryable(), "{error}");

    server.restart().await?;
    let through = sessions.write_through().ok_or("it is written through")?;
    // Its tables are not there yet.
    let error = loop {
        match through.load("reports", handle).await.unwrap_err() {
            Error::Store(error) if matches!(error.fault(), Fault::Unsuitable(_)) => break error,
            // A server that starts refuses connections for a moment.
            _starting => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert!(error.to_string().contains("--example migrate"), "{error}");
    migrations::up(&Postgres::connect(&server.url()).await?).await?;
    through.drain(Duration::from_secs(60)).await?;
    let shown = through
        .load("reports", handle)
        .await?
        .ok_or("it is there")?;
    assert_eq!(shown.1.get::<String>("theme")?.as_deref(), Some("dark"));
    assert_eq!(through.backlog("reports").await?.set_aside, 0);
    Ok(())
}

#[test]
fn what_is_wrong_without_a_database_is_refused_without_one() {
    for url in ["nonsense", "postgresql://h/app?sslmode=require"] {
        Postgres::unchecked(url).unwrap_err();
    }
    let at = |url: &str, name: &str| {
        PostgresSecondary::unchecked(&Postgres::unchecked(url).unwrap(), name)
    };
    for name in ["", &"x".repeat(101), "\0"] {
        at("postgresql://h/app", name).unwrap_err();
    }
    let place = |url: &str, name: &str| at(url, name).unwrap().place();
    let here = place("postgresql://me:secret@h/app", "reports");
    assert_eq!(here, place("postgresql://you@h:5432/app", "reports"));
    assert!(here.as_ref().is_some_and(|place| !place.contains("secret")));
    for (url, name) in [
        ("postgresql://h/other", "reports"),
        ("postgresql://i/app", "reports"),
        ("postgresql://h/app", "audit"),
        (
            "postgresql://h/app?options=-csearch_path%3Dother",
            "reports",
        ),
    ] {
        assert_ne!(here, place(url, name), "{url} {name}");
    }
}
