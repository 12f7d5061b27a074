//! Sessions whose records are sealed at rest: keys that change, records that were tampered with.

use std::time::Duration;

use bytes::Bytes;
use session_core::{
    AcquireError, BadRecord, CommitId, Creation, Error, Header, LockRequest, MemoryStore,
    PrimaryStore as _, ReadError, RecordError, SealingCipher, SealingKey, SealingKeys, SessionData,
    SessionGuard, SessionHandle, SessionId, Sessions, Stored, Timeouts, TouchAfter, WithError,
    Write,
};
use session_lock::{Drift, LeaseTerms, Ttl};

fn key(number: u8) -> SealingKey {
    SealingKey::from_bytes(&[number; 32]).unwrap()
}

fn keys(number: u8) -> SealingKeys {
    SealingKeys::new(&key(number))
}

fn sealed(store: &MemoryStore, keys: SealingKeys) -> Sessions {
    let builder = Sessions::builder(store.clone()).warn_unlocked(false);
    builder.seal(keys).build().unwrap()
}

fn plain(store: &MemoryStore) -> Sessions {
    Sessions::new(store.clone())
}

async fn create(sessions: &Sessions) -> SessionId {
    let write = async |session: &mut SessionGuard| set(session, 1);
    sessions.with_new(write).await.unwrap().0
}

fn set(data: &mut SessionData, n: u32) -> Result<(), Error> {
    Ok(data.insert("n", n)?)
}

async fn n(sessions: &Sessions, id: &SessionId) -> Result<Option<u32>, ReadError> {
    let snapshot = sessions.snapshot(id).await?;
    Ok(snapshot.and_then(|snapshot| snapshot.get("n").unwrap()))
}

async fn record(store: &MemoryStore, id: &SessionId) -> Stored {
    let stored = store.load(id.key(), TouchAfter::Never).await;
    stored.unwrap().unwrap()
}

/// Puts a record in the place of a session, as whoever can write to the store can.
async fn plant(store: &MemoryStore, id: &SessionId, change: impl FnOnce(Header) -> Write) {
    let request = LockRequest {
        terms: LeaseTerms {
            ttl: Ttl::new(Duration::from_secs(10)).unwrap(),
            drift: Drift::default(),
            longest_hold: Duration::from_secs(10),
        },
        wait: Duration::from_secs(5),
        max_waiters: 1,
    };
    let granted = store.lock(id.key(), &request).await.unwrap();
    let base = granted.stored.header;
    let write = Write {
        base: base.commit_id,
        ..change(base)
    };
    store.commit(granted.lease, write).await.unwrap();
}

fn write(header: Header, body: &[u8]) -> Write {
    Write {
        base: header.commit_id,
        header,
        body: Bytes::copy_from_slice(body),
    }
}

/// Every way to the session is the same typed error, and the record stays as it is.
async fn assert_refused(
    store: &MemoryStore,
    sessions: &Sessions,
    id: &SessionId,
    fault: BadRecord,
) {
    let before = record(store, id).await;
    let check = |error: RecordError| {
        assert_eq!(error.fault, fault);
        assert_eq!(error.key, id.key().fingerprint());
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(id.expose()), "{shown}");
    };
    for _ in 0..2 {
        match sessions.snapshot(id).await {
            Err(ReadError::Record(error)) => check(error),
            other => panic!("{other:?}"),
        }
        match sessions.lock(id).await {
            Err(error @ AcquireError::Record(_)) if error.is_retryable() => panic!("{error}"),
            Err(AcquireError::Record(error)) => check(error),
            other => panic!("{other:?}"),
        }
        match sessions.update(id, |data| set(data, 9)).await {
            Err(WithError::Acquire(AcquireError::Record(error))) => check(error),
            other => panic!("{other:?}"),
        }
        match sessions.unlocked().load(id).await {
            Err(ReadError::Record(error)) => check(error),
            other => panic!("{other:?}"),
        }
    }
    let after = record(store, id).await;
    assert_eq!((after.header, after.body), (before.header, before.body));
}

#[tokio::test]
async fn every_way_of_writing_seals() {
    let store = MemoryStore::new();
    for cipher in [SealingCipher::XChaCha20Poly1305, SealingCipher::Aes256Gcm] {
        let sessions = sealed(&store, keys(1).cipher(cipher));
        let id = create(&sessions).await;
        let mut bodies = vec![record(&store, &id).await];
        let locked = async |session: &mut SessionGuard| set(session, 2);
        sessions.with(&id, locked).await.unwrap();
        bodies.push(record(&store, &id).await);
        sessions.update(&id, |data| set(data, 3)).await.unwrap();
        bodies.push(record(&store, &id).await);
        let mut unlocked = sessions.unlocked().load(&id).await.unwrap().unwrap();
        set(&mut unlocked, 4).unwrap();
        unlocked.save().await.unwrap();
        bodies.push(record(&store, &id).await);
        for stored in &bodies {
            assert!(stored.header.is_sealed());
            assert!(!stored.body.windows(2).any(|part| part == b"\xa1n"));
        }
        assert_eq!(n(&sessions, &id).await.unwrap(), Some(4));
    }
}

#[tokio::test]
async fn a_session_with_other_timeouts_is_read_back() {
    let store = MemoryStore::new();
    let sessions = sealed(&store, keys(1));
    let mut session = sessions.create();
    set(&mut session, 1).unwrap();
    let id = session.id().clone();
    // Finer than what a store keeps.
    let idle = Duration::from_nanos(60_000_000_999);
    session.set_timeouts(Timeouts::new(idle, idle * 2).unwrap());
    session.commit().await.unwrap();
    assert_eq!(n(&sessions, &id).await.unwrap(), Some(1));
    let mut guard = sessions.lock(&id).await.unwrap();
    guard.set_timeouts(Timeouts::new(idle / 2, idle).unwrap());
    guard.commit().await.unwrap();
    assert_eq!(n(&sessions, &id).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_commit_without_changes_seals_anew_and_then_the_older_key_is_not_needed() {
    let store = MemoryStore::new();
    let id = create(&sealed(&store, keys(1))).await;
    let both = sealed(&store, keys(2).opening(&key(1)));
    let new = sealed(&store, keys(2));
    let unknown = BadRecord::UnknownSealingKey { id: key(1).id() };
    assert_refused(&store, &new, &id, unknown).await;

    assert_eq!(n(&both, &id).await.unwrap(), Some(1));
    both.lock(&id).await.unwrap().discard().await.unwrap();
    both.update(&id, |data| Ok::<_, Error>(data.len()))
        .await
        .unwrap();
    assert_refused(&store, &new, &id, unknown).await;

    let guard = both.lock(&id).await.unwrap();
    assert!(guard.is_modified());
    assert!(guard.commit().await.unwrap().is_stored());
    assert_eq!(n(&new, &id).await.unwrap(), Some(1));
    let guard = both.lock(&id).await.unwrap();
    assert!(!guard.is_modified());
    assert!(!guard.commit().await.unwrap().is_stored());
}

#[tokio::test]
async fn an_update_and_an_unlocked_save_seal_anew() {
    let store = MemoryStore::new();
    let (old, new) = (sealed(&store, keys(1)), sealed(&store, keys(2)));
    let both = sealed(&store, keys(2).opening(&key(1)));
    let (updated, saved) = (create(&old).await, create(&old).await);
    both.update(&updated, |data| set(data, 2)).await.unwrap();
    let mut unlocked = both.unlocked().load(&saved).await.unwrap().unwrap();
    set(&mut unlocked, 2).unwrap();
    unlocked.save().await.unwrap();
    for id in [updated, saved] {
        assert_eq!(n(&new, &id).await.unwrap(), Some(2));
    }
}

#[tokio::test]
async fn a_service_begins_to_seal_and_no_replica_misses_a_session() {
    let store = MemoryStore::new();
    let without = plain(&store);
    let opening = sealed(&store, keys(1).open_only());
    let accepting = sealed(&store, keys(1).accept_unsealed());
    let requiring = sealed(&store, keys(1));
    // Each step runs beside the one before it, and reads what both have written.
    for (before, after) in [
        (&without, &opening),
        (&opening, &accepting),
        (&accepting, &requiring),
    ] {
        let of_after = create(after).await;
        assert_eq!(n(before, &of_after).await.unwrap(), Some(1));
    }
    for (before, after) in [(&without, &opening), (&opening, &accepting)] {
        let of_before = create(before).await;
        assert_eq!(n(after, &of_before).await.unwrap(), Some(1));
    }
    let id = create(&without).await;
    assert_refused(&store, &requiring, &id, BadRecord::Unsealed).await;
    opening.lock(&id).await.unwrap().commit().await.unwrap();
    assert!(!record(&store, &id).await.header.is_sealed());
    accepting.lock(&id).await.unwrap().commit().await.unwrap();
    assert!(record(&store, &id).await.header.is_sealed());
    assert_eq!(n(&requiring, &id).await.unwrap(), Some(1));
    // And back.
    opening.update(&id, |data| set(data, 2)).await.unwrap();
    assert_eq!(n(&without, &id).await.unwrap(), Some(2));
}

#[tokio::test]
async fn records_without_the_right_key_are_refused_and_can_be_ended() {
    let store = MemoryStore::new();
    let id = create(&sealed(&store, keys(1))).await;
    let (without, wrong) = (plain(&store), sealed(&store, keys(2)));
    assert_refused(&store, &without, &id, BadRecord::Sealed).await;
    let unknown = BadRecord::UnknownSealingKey { id: key(1).id() };
    assert_refused(&store, &wrong, &id, unknown).await;
    assert_eq!(n(&sealed(&store, keys(1)), &id).await.unwrap(), Some(1));
    wrong.destroy(&id).await.unwrap();
    assert_eq!(n(&wrong, &id).await.unwrap(), None);
}

#[tokio::test]
async fn a_planted_record_is_refused_unless_unsealed_ones_are_accepted() {
    let store = MemoryStore::new();
    let sessions = sealed(&store, keys(1));
    let id = create(&sessions).await;
    let good = record(&store, &id).await;
    plant(&store, &id, |header| {
        write(Header { flags: 0, ..header }, b"\x81\xa1n\x07")
    })
    .await;
    assert_refused(&store, &sessions, &id, BadRecord::Unsealed).await;
    let accepting = sealed(&store, keys(1).accept_unsealed());
    assert_eq!(n(&accepting, &id).await.unwrap(), Some(7));
    plant(&store, &id, |_| {
        write(good.header.clone(), b"\x81\xa1n\x07")
    })
    .await;
    let cipher = BadRecord::UnknownCipher { cipher: 0x81 };
    assert_refused(&store, &sessions, &id, cipher).await;
    plant(&store, &id, |_| write(good.header.clone(), &good.body)).await;
    assert_eq!(n(&sessions, &id).await.unwrap(), Some(1));
}

#[tokio::test]
async fn bodies_swapped_between_two_sessions_are_refused() {
    let store = MemoryStore::new();
    let sessions = sealed(&store, keys(1));
    let (mine, others) = (create(&sessions).await, create(&sessions).await);
    let (my, other) = (record(&store, &mine).await, record(&store, &others).await);
    // The body alone, and the whole record.
    plant(&store, &mine, |header| write(header, &other.body)).await;
    plant(&store, &others, |_| write(my.header.clone(), &my.body)).await;
    for id in [&mine, &others] {
        assert_refused(&store, &sessions, id, BadRecord::BrokenSeal).await;
    }
    let free = SessionId::random();
    let creation = Creation {
        header: my.header,
        body: my.body,
        timeouts: Timeouts::default(),
        login: None,
    };
    store.create(free.key(), creation).await.unwrap();
    assert_refused(&store, &sessions, &free, BadRecord::BrokenSeal).await;
}

#[tokio::test]
async fn a_body_under_the_header_of_another_version_is_refused() {
    let store = MemoryStore::new();
    let sessions = sealed(&store, keys(1));
    let id = create(&sessions).await;
    let first = record(&store, &id).await;
    sessions.update(&id, |data| set(data, 2)).await.unwrap();
    let second = record(&store, &id).await;
    let changes: [fn(&mut Header); 4] = [
        |header| header.commit_id = CommitId::random(),
        |header| header.user_tag = 1,
        |header| header.idle_timeout *= 2,
        |header| header.handle = SessionHandle::random(),
    ];
    plant(&store, &id, |header| write(header, &first.body)).await;
    assert_refused(&store, &sessions, &id, BadRecord::BrokenSeal).await;
    for change in changes {
        let mut header = second.header.clone();
        change(&mut header);
        plant(&store, &id, |_| write(header, &second.body)).await;
        assert_refused(&store, &sessions, &id, BadRecord::BrokenSeal).await;
    }
    plant(&store, &id, |_| write(second.header, &second.body)).await;
    assert_eq!(n(&sessions, &id).await.unwrap(), Some(2));
}

#[tokio::test]
async fn the_cap_on_a_record_leaves_the_seal_out() {
    let store = MemoryStore::new();
    let builder = |keys| Sessions::builder(store.clone()).max_record(100).seal(keys);
    let sessions = builder(keys(1)).build().unwrap();
    // Together with its key as large as a session may be.
    let text = "x".repeat(80);
    let (id, ()) = sessions
        .with_new(async |session| -> Result<(), Error> { Ok(session.insert("text", &text)?) })
        .await
        .unwrap();
    assert!(record(&store, &id).await.body.len() > 100);
    let snapshot = sessions.snapshot(&id).await.unwrap().unwrap();
    assert_eq!(snapshot.get::<String>("text").unwrap(), Some(text));
    let smaller = Sessions::builder(store.clone())
        .max_record(64)
        .seal(keys(1));
    let refused = smaller.build().unwrap().snapshot(&id).await;
    assert!(matches!(
        refused,
        Err(ReadError::Record(error)) if matches!(error.fault, BadRecord::Body { .. })
    ));
}

#[tokio::test]
async fn debug_output_of_sealed_sessions_hides_keys_and_values() {
    let store = MemoryStore::new();
    let key = SealingKey::generate();
    let builder = Sessions::builder(store.clone()).seal(SealingKeys::new(&key));
    let mut shown = format!("{key:?} {builder:?}");
    let sessions = builder.build().unwrap();
    let (id, ()) = sessions
        .with_new(async |session| -> Result<(), Error> { Ok(session.insert("s3cret", "v4lue")?) })
        .await
        .unwrap();
    let refused = plain(&store).snapshot(&id).await.unwrap_err();
    shown += &format!(
        "{sessions:?} {:?} {refused} {refused:?}",
        record(&store, &id).await
    );
    let exposed = key.expose_base64();
    for hidden in ["s3cret", "v4lue", &exposed[..12], id.expose()] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
