//! What waits for secondaries, beyond the suite: who delivers, in what order, and what a list of secondaries keeps out.

use std::{sync::Arc, time::Duration};

use session_core::{
    Composed, Creation, Error, Found, MemorySecondary, Outbox, OutboxEntry, RecordStore as _,
    SecondaryPolicy, SessionId, Sessions, SessionsBuilder, StoreTime, Timeouts, Version,
};
use session_postgres::{PostgresLocker, PostgresRecords};
use session_testkit::{Flaky, Mood};

use crate::{
    records::header,
    schema::Schema,
    support::{TestResult, connect},
};

const EVERYTHING: std::ops::RangeInclusive<u16> = 0..=0x0fff;
const HOUR: Duration = Duration::from_secs(3_600);

async fn noting(schema: &Schema, names: &[&str]) -> TestResult<(PostgresRecords, Arc<dyn Outbox>)> {
    let records = PostgresRecords::new(&schema.postgres().await?).await?;
    records.open_outbox(names).await?;
    let outbox = records.outbox().ok_or("it is open")?;
    Ok((records, outbox))
}

async fn store(records: &PostgresRecords, body: Vec<u8>) -> TestResult<SessionId> {
    let id = SessionId::random();
    store_as(records, &id, body).await?;
    Ok(id)
}

async fn store_as(records: &PostgresRecords, id: &SessionId, body: Vec<u8>) -> TestResult {
    let creation = Creation {
        header: header(),
        body: body.into(),
        timeouts: Timeouts::new(HOUR, HOUR)?,
        login: None,
    };
    records.create(id.key(), creation).await?;
    Ok(())
}

async fn waiting(outbox: &Arc<dyn Outbox>) -> TestResult<Vec<OutboxEntry>> {
    let pending = outbox.pending(0, &EVERYTHING, StoreTime::MAX, 10_000);
    Ok(pending.await?.into_iter().map(|one| one.entry).collect())
}

#[tokio::test]
async fn of_two_deliverers_one_has_a_part_until_its_time_is_over() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (_here, outbox) = noting(&schema, &["mirror"]).await?;
    let (_there, other) = noting(&schema, &["mirror"]).await?;
    let parts = outbox.parts();
    let covered: Vec<u16> = parts.iter().cloned().flatten().collect();
    assert_eq!(covered, EVERYTHING.collect::<Vec<_>>());
    let [part, another, ..] = &parts[..] else {
        return Err("there are several parts".into());
    };
    let (one, two) = (u64::MAX, 7);
    assert!(outbox.claim(part, one, HOUR).await?);
    assert!(!other.claim(part, two, HOUR).await?);
    assert!(outbox.claim(part, one, HOUR).await?, "it has it already");
    assert!(other.claim(another, two, HOUR).await?, "nobody has it");
    // The first one is gone, and its time is over.
    let over = "UPDATE latchkey_outbox_parts SET until_ms = 0 WHERE part = 0";
    schema.client.batch_execute(over).await?;
    assert!(other.claim(part, two, HOUR).await?);
    assert!(!outbox.claim(part, one, HOUR).await?);
    Ok(())
}

#[tokio::test]
async fn what_was_noted_again_is_neither_taken_out_nor_set_aside() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (records, outbox) = noting(&schema, &["mirror"]).await?;
    let id = store(&records, b"\x80".to_vec()).await?;
    let noted = waiting(&outbox).await?;
    let older = OutboxEntry {
        version: Version::from_number(noted[0].version.number() - 2),
        ..noted[0]
    };
    assert_eq!(noted[0].key, *id.key());
    outbox.delivered(0, &[older]).await?;
    outbox.set_aside(0, &older).await?;
    assert_eq!(waiting(&outbox).await?, noted);

    outbox.set_aside(0, &noted[0]).await?;
    assert_eq!(waiting(&outbox).await?, []);
    let backlog = outbox.backlog(0).await?;
    assert_eq!((backlog.sessions, backlog.set_aside), (0, 1));
    assert_eq!((outbox.retry(0).await?, outbox.retry(0).await?), (1, 0));
    assert_eq!(waiting(&outbox).await?, noted);
    // Put back, an older version takes no newer one's place.
    outbox.set_aside(0, &noted[0]).await?;
    records.destroy(id.key()).await?;
    let ended = waiting(&outbox).await?;
    assert!(ended.len() == 1 && ended[0].version.is_end());
    assert_eq!(outbox.retry(0).await?, 1);
    assert_eq!(waiting(&outbox).await?, ended);
    outbox.delivered(0, &ended).await?;
    assert_eq!(schema.count("latchkey_outbox").await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_noted_meanwhile_is_not_waited_for() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (records, outbox) = noting(&schema, &["mirror"]).await?;
    for _ in 0..2 {
        store(&records, b"\x80".to_vec()).await?;
    }
    let both = waiting(&outbox).await?;
    let writes = "BEGIN; UPDATE latchkey_outbox SET version = version + 2 WHERE key = \
        (SELECT key FROM latchkey_outbox ORDER BY key LIMIT 1)";
    schema.client.batch_execute(writes).await?;
    outbox.delivered(0, &both).await?;
    schema.client.batch_execute("COMMIT").await?;
    let left = waiting(&outbox).await?;
    assert_eq!(left.len(), 1);
    assert!(!both.contains(&left[0]), "it is a newer version");
    Ok(())
}

#[tokio::test]
async fn a_page_has_the_oldest_of_each_bucket_first_and_ends_behind_large_records() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (records, outbox) = noting(&schema, &["mirror"]).await?;
    let mut ids = Vec::new();
    let bucket = SessionId::random().key().bucket();
    for at in 0..6 {
        let id = if at < 4 {
            SessionId::random_in(bucket)
        } else {
            SessionId::random()
        };
        store_as(&records, &id, vec![b'x'; 100 << 10]).await?;
        ids.push(id);
    }
    // The older the session, the later it was noted.
    let turned = "UPDATE latchkey_outbox SET version = 1000 - number \
        FROM (SELECT key AS one, row_number() OVER (ORDER BY version) AS number FROM latchkey_outbox) AS numbered \
        WHERE key = one";
    schema.client.batch_execute(turned).await?;
    let mut order = Vec::new();
    loop {
        let limit = if order.is_empty() { 4 } else { 2 };
        let page = outbox
            .pending(0, &EVERYTHING, StoreTime::MAX, limit)
            .await?;
        if page.is_empty() {
            break;
        }
        // The third one goes beyond the limit of bytes.
        assert!(page.len() <= 3, "{} records", page.len());
        assert!(page.iter().all(
            |one| matches!(&one.found, Found::Live(stored) if stored.body.len() == 100 << 10)
        ));
        let entries: Vec<_> = page.iter().map(|one| one.entry).collect();
        outbox.delivered(0, &entries).await?;
        order.extend(entries);
    }
    let place = |entry: &OutboxEntry| (entry.key.bucket().number(), entry.version);
    assert!(order.is_sorted_by_key(place));
    assert_eq!(order.len(), ids.len());

    // What is newer is left to its writer, and another bucket to others.
    let id = store(&records, b"\x80".to_vec()).await?;
    let before = records.outbox().ok_or("it is open")?;
    let past = StoreTime::from_millis(1);
    assert!(before.pending(0, &EVERYTHING, past, 10).await?.is_empty());
    let bucket = id.key().bucket().number();
    let own = bucket..=bucket;
    assert_eq!(before.pending(0, &own, StoreTime::MAX, 10).await?.len(), 1);
    let next = (bucket + 1) % 4096;
    let next = next..=next;
    let found = before.pending(0, &next, StoreTime::MAX, 10);
    assert!(found.await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn all_that_lives_is_noted_for_a_new_secondary_however_much_it_is() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (records, outbox) = noting(&schema, &["mirror"]).await?;
    let id = store(&records, b"\x80".to_vec()).await?;
    let ended = store(&records, b"\x80".to_vec()).await?;
    records.destroy(ended.key()).await?;
    let many = "INSERT INTO latchkey_records (key, head, body, revision, created_ms, absolute_end_ms, idle_ms, \
        expires_ms) SELECT substring(key FROM 1 FOR 28) || decode(lpad(to_hex(n), 8, '0'), 'hex') || '\\x0001', \
        head, body, revision, created_ms, absolute_end_ms, idle_ms, expires_ms \
        FROM latchkey_records, generate_series(1, 2500) AS n WHERE expires_ms = (SELECT max(expires_ms) FROM latchkey_records)";
    schema.client.batch_execute(many).await?;
    schema
        .client
        .batch_execute("DELETE FROM latchkey_outbox")
        .await?;
    assert_eq!(outbox.note_all(0).await?, 2_501);
    let noted = waiting(&outbox).await?;
    assert_eq!(noted.len(), 2_501);
    assert!(noted.iter().any(|entry| entry.key == *id.key()));
    assert!(noted.iter().all(|entry| entry.key != *ended.key()));
    // Noted once more, nothing changes, nor does what is newer. What has run out is not noted.
    let newer = "UPDATE latchkey_outbox SET version = version + 1";
    schema.client.batch_execute(newer).await?;
    let noted = waiting(&outbox).await?;
    let run_out =
        "UPDATE latchkey_records SET expires_ms = 1 WHERE get_byte(key, 31) = 7 AND body <> ''";
    let run_out = schema.client.execute(run_out, &[]).await?;
    assert_eq!(outbox.note_all(0).await?, 2_501 - run_out);
    assert_eq!(waiting(&outbox).await?, noted);
    Ok(())
}

async fn builder(schema: &Schema) -> TestResult<SessionsBuilder> {
    let postgres = schema.postgres().await?;
    let records = PostgresRecords::new(&postgres).await?;
    let locker = PostgresLocker::new(&postgres).await?;
    Ok(Sessions::builder(Composed::new(records, locker)))
}

async fn sessions(schema: &Schema, names: &[&str]) -> TestResult<Result<Sessions, Error>> {
    let mut builder = builder(schema).await?;
    for name in names {
        builder = builder.secondary(name, MemorySecondary::new(), SecondaryPolicy::eventual());
    }
    Ok(builder.open().await)
}

async fn with_mirror(schema: &Schema, mirror: Flaky<MemorySecondary>) -> TestResult<Sessions> {
    let policy = SecondaryPolicy::eventual();
    let sessions = builder(schema).await?.secondary("mirror", mirror, policy);
    Ok(sessions.open().await?)
}

/// The new ID stands for the session, and nothing waits for the old one to be over.
#[tokio::test]
async fn a_session_that_moves_takes_its_entry_along() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let mirror = Flaky::new(MemorySecondary::new());
    mirror.set(Mood::Down);
    let sessions = with_mirror(&schema, mirror).await?;
    let mut session = sessions.create();
    session.insert("n", 1)?;
    let mut id = session.id().clone();
    session.commit().await?;
    let through = sessions.write_through().ok_or("it is written through")?;
    for is_login in [false, true] {
        let mut guard = sessions.lock(&id).await?;
        id = if is_login {
            guard.login("ada", &())?
        } else {
            guard.regenerate()
        };
        guard.commit().await?;
        assert_eq!(through.backlog("mirror").await?.sessions, 1);
    }
    Ok(())
}

/// The copy that is read during the grace has the session's name, and is not the session.
#[tokio::test]
async fn ending_what_a_login_has_left_ends_nobody_in_the_secondary() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let sessions = sessions(&schema, &["mirror"]).await??;
    let mut session = sessions.create();
    session.insert("n", 1)?;
    let (old, handle) = (session.id().clone(), session.handle());
    session.commit().await?;
    let mut guard = sessions.lock(&old).await?;
    let id = guard.login("ada", &())?;
    guard.commit().await?;
    sessions.destroy(&old).await?;
    let through = sessions.write_through().ok_or("it is written through")?;
    through.drain(Duration::from_secs(60)).await?;
    assert!(sessions.snapshot(&id).await?.is_some());
    assert!(through.load("mirror", handle).await?.is_some());
    Ok(())
}

/// A process that does not name the secondaries would not note its writes.
#[tokio::test]
async fn the_list_of_secondaries_is_guarded_until_it_is_replaced() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    sessions(&schema, &["one", "two"]).await??;
    for others in [
        &[][..],
        &["one"],
        &["one", "three"],
        &["one", "two", "three"],
    ] {
        let refused = sessions(&schema, others).await?.unwrap_err().to_string();
        assert!(refused.contains("two"), "{refused}");
    }
    sessions(&schema, &["two", "one"]).await??;

    let (records, _) = noting(&schema, &["one", "two"]).await?;
    store(&records, b"\x80".to_vec()).await?;
    assert_eq!(schema.count("latchkey_outbox").await?, 2);
    for bad in [&["a,b"][..], &["two", "two"]] {
        records
            .dangerous_replace_secondaries(bad)
            .await
            .unwrap_err();
    }
    records.dangerous_replace_secondaries(&["two"]).await?;
    assert_eq!(schema.count("latchkey_outbox").await?, 1);
    sessions(&schema, &["one", "two"]).await?.unwrap_err();
    sessions(&schema, &["two"]).await??;
    records.dangerous_replace_secondaries(&[]).await?;
    sessions(&schema, &[]).await??;
    Ok(())
}

/// Whoever writes has the record before it notes. In the other order, two would wait for each other.
#[tokio::test]
async fn whoever_ends_a_session_waits_for_its_record_before_it_notes() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let (records, outbox) = noting(&schema, &["mirror"]).await?;
    let id = store(&records, b"\x80".to_vec()).await?;
    outbox.delivered(0, &waiting(&outbox).await?).await?;
    let writes = "BEGIN; UPDATE latchkey_records SET revision = revision + 1";
    schema.client.batch_execute(writes).await?;
    // Of two in a circle, this one is told, and at once.
    let told = "SET LOCAL deadlock_timeout = '1ms'";
    schema.client.batch_execute(told).await?;
    let pid = "SELECT pg_backend_pid()";
    let writer: i32 = schema.client.query_one(pid, &[]).await?.get(0);
    let ends = tokio::spawn({
        let (records, id) = (records.clone(), id.clone());
        async move { records.destroy(id.key()).await }
    });
    let watch = connect(&schema.url).await?;
    let waits = "SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
    while watch.query(waits, &[&writer]).await?.is_empty() {}
    let note = include_str!("../../sql/outbox_note.sql");
    let key = [
        &id.key().digest()[..],
        &id.key().bucket().number().to_be_bytes(),
    ]
    .concat();
    schema.client.execute(note, &[&key]).await?;
    schema.client.batch_execute("COMMIT").await?;
    ends.await??;
    let noted = waiting(&outbox).await?;
    assert_eq!(noted.len(), 1);
    assert!(noted[0].version.is_end());
    Ok(())
}
