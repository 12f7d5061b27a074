use bytes::Bytes;
use session_core::{
    AcquireError, BadRecord, CommitId, Creation, DestroyError, Digest, Header, IDENTITY,
    PrimaryStore as _, Promise, ReadError, RecordKind, Revision, SessionHandle, StoreTime,
    Timeouts, TouchAfter, WithError,
};

use super::*;

/// A suite tests what a store claims, so the claim itself has to be right.
pub async fn claims_exactly_the_promises_of_its_fixture<F: PrimaryFixture>(fixture: &F) {
    assert_eq!(fixture.store().capabilities(), F::PROMISES);
    elsewhere(fixture).await;
}

/// A store that works says so.
pub async fn ping_succeeds<F: PrimaryFixture>(fixture: &F) {
    sessions(fixture).ping().await.expect("the store answers");
}

/// Clause 1, promise 6: an ID that names nothing is refused by every way in, and stays naming nothing.
pub async fn unknown_id_is_never_adopted<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = fixture.store().new_id();
    let nothing_there = async || {
        let snapshot = sessions.snapshot(&id).await.expect("unknown is no fault");
        assert!(snapshot.is_none(), "something was stored");
    };
    nothing_there().await;
    assert!(matches!(
        sessions.lock(&id).await,
        Err(AcquireError::NoSession)
    ));
    nothing_there().await;
    let mut ran = false;
    let with = sessions.with(&id, async |session| {
        ran = true;
        session.insert("left", 1)
    });
    assert!(matches!(
        with.await,
        Err(WithError::Acquire(AcquireError::NoSession))
    ));
    assert!(!ran, "the body ran on a session that does not exist");
    nothing_there().await;
    let update = sessions.update(&id, |data| data.insert("left", 1)).await;
    assert!(matches!(
        update,
        Err(WithError::Acquire(AcquireError::NoSession))
    ));
    nothing_there().await;
    let unlocked = sessions.unlocked().load(&id).await;
    assert!(unlocked.expect("unknown is no fault").is_none());
    sessions.destroy(&id).await.expect("unknown is no error");
    nothing_there().await;
}

/// Promise 8: a suite that is said to run on sealed records does.
pub async fn records_are_sealed_where_the_fixture_says_so<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let shows_names = async || {
        let record = record(&store, id.key()).await;
        assert_eq!(record.header.is_sealed(), F::SEALED);
        record.body.windows(4).any(|bytes| bytes == b"left")
    };
    assert_eq!(shows_names().await, !F::SEALED);
    add_one(&sessions, &id).await;
    assert_eq!(shows_names().await, !F::SEALED);
}

/// A suite that is said to run on another codec does.
pub async fn records_are_in_the_codec_that_the_fixture_says<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = stored(&sessions, 1).await;
    let record_of = async || record(&store, id.key()).await;
    assert_eq!(record_of().await.header.codec(), F::CODEC);
    add_one(&sessions, &id).await;
    let record = record_of().await;
    assert_eq!(record.header.codec(), F::CODEC);
    if F::CODEC == Codec::Json && !F::SEALED {
        assert_eq!(&record.body[..], br#"{"left":2,"right":2}"#);
    }
}

/// Promise 1: what is committed is what is read, in every way of reading.
pub async fn what_was_committed_is_read_back<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let mut session = sessions.create();
    let large = "ä".repeat(40_000);
    session.insert("text", &large).expect("text can be written");
    session.insert("none", ()).expect("nothing can be written");
    let (id, handle) = (session.id().clone(), session.handle());
    session.commit().await.expect("a new session is stored");

    let snapshot = sessions.snapshot(&id).await.expect("it can be read");
    let snapshot = snapshot.expect("it is there");
    assert_eq!(
        snapshot.get::<String>("text").ok().flatten(),
        Some(large.clone())
    );
    assert!(snapshot.contains_key("none"));
    assert_eq!(snapshot.handle(), handle);
    let guard = sessions.lock(&id).await.expect("it can be locked");
    assert_eq!(guard.get::<String>("text").ok().flatten(), Some(large));
    assert_eq!(guard.handle(), handle);
    guard.discard().await.expect("it can be given back");
}

/// Promise 1 between processes.
pub async fn what_was_committed_is_read_back_elsewhere<F: PrimaryFixture>(fixture: &F) {
    let Some(elsewhere) = elsewhere(fixture).await else {
        return;
    };
    let sessions = sessions(fixture);
    let id = stored(&sessions, 7).await;
    assert_eq!(value(&elsewhere, &id).await, Some(7));
    add_one(&elsewhere, &id).await;
    assert_eq!(value(&sessions, &id).await, Some(8));
}

/// Clause 1: a session whose time is up is none.
pub async fn an_expired_session_is_no_session<F: PrimaryFixture>(fixture: &F) {
    let sessions = living(fixture, 150, 10_000);
    let id = stored(&sessions, 1).await;
    fixture.pass(ms(300)).await;
    assert_eq!(value(&sessions, &id).await, None);
    assert!(matches!(
        sessions.lock(&id).await,
        Err(AcquireError::NoSession)
    ));
}

/// Clause 1: a session that was ended is none.
pub async fn a_destroyed_session_is_no_session<F: PrimaryFixture>(fixture: &F) {
    let sessions = sessions(fixture);
    let id = stored(&sessions, 1).await;
    sessions.destroy(&id).await.expect("it can be ended");
    assert_eq!(value(&sessions, &id).await, None);
    assert!(matches!(
        sessions.lock(&id).await,
        Err(AcquireError::NoSession)
    ));
}

/// Promise 8: nothing that is printed gives access or content away.
pub async fn debug_output_hides_ids_keys_and_values<F: PrimaryFixture>(fixture: &F) {
    let store = fixture.store();
    let sessions = sessions(fixture);
    let secret = "contents that nobody else may see";
    let mut new = sessions.create();
    new.insert("name", secret).expect("text can be written");
    let id = new.id().clone();
    let mut printed = format!("{new:?} {id:?} {:?}", id.key());
    new.commit().await.expect("a new session is stored");
    let guard = sessions.lock(&id).await.expect("it can be locked");
    let held = sessions.lock(&id).wait_at_most(Duration::ZERO);
    printed += &format!("{held:?} ");
    printed += &format!("{:?} {guard:?} {sessions:?} {store:?}", held.await.err());
    printed += &format!("{:?}", sessions.snapshot(&id).await);
    printed += &format!("{:?}", sessions.unlocked().load(&id).await);
    printed += &format!("{:?}", store.load(id.key(), TouchAfter::Never).await);
    let hex: String = id
        .key()
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let bytes = format!("{:?}", id.key().digest());
    for hidden in [secret, id.expose(), &hex, &hex.to_uppercase(), &bytes] {
        assert!(!printed.contains(hidden), "printed a secret");
    }
    guard.discard().await.expect("it can be given back");
}

/// Clause 11: a body that cannot be decoded is an error, is not overwritten, and leaves no lock behind.
pub async fn a_damaged_body_is_an_error_and_is_left_as_it_is<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let id = fixture.store().new_id();
    let body = Bytes::from_static(b"\xc1 not MessagePack");
    let creation = Creation {
        header: new_header(),
        body: body.clone(),
        timeouts: Timeouts::default(),
        login: None,
    };
    let created = store.create(id.key(), creation).await;
    created.expect("stores do not look into bodies");
    for _ in 0..2 {
        assert!(matches!(
            sessions.snapshot(&id).await,
            Err(ReadError::Record(_))
        ));
        assert!(matches!(
            sessions.lock(&id).await,
            Err(AcquireError::Record(_))
        ));
        assert!(matches!(
            sessions.update(&id, |data| data.insert("left", 1)).await,
            Err(WithError::Acquire(AcquireError::Record(_)))
        ));
    }
    let left = store.load(id.key(), TouchAfter::Never).await;
    let left = left.expect("the header is sound").expect("it is there");
    assert_eq!(left.body, body, "the record was overwritten");
}

/// Clause 11: what is no record of ours is an error that names no secret, and is left as it is.
pub async fn a_foreign_record_is_an_error_and_is_left_as_it_is<F: PrimaryFixture>(fixture: &F) {
    let (store, sessions) = (fixture.store(), sessions(fixture));
    let mut header = Vec::new();
    new_header().encode(&mut header);
    let mut newer = header.clone();
    // Magic, version, kind.
    newer[IDENTITY.start + 2] = 99;
    for (bytes, fault) in [
        (&b"{\"user\":1}"[..], BadRecord::Foreign),
        (&header[..IDENTITY.end], BadRecord::CutOff),
        (&newer, BadRecord::Newer { version: 99 }),
    ] {
        let id = fixture.store().new_id();
        if !fixture.plant(id.key(), bytes).await {
            // What only this process can write to has no foreign records.
            assert!(!F::PROMISES.has(Promise::AcrossProcesses));
            return;
        }
        let creation = Creation {
            header: new_header(),
            body: Bytes::from_static(b"\x80"),
            timeouts: Timeouts::default(),
            login: None,
        };
        assert!(store.create(id.key(), creation).await.is_err());
        assert!(matches!(
            sessions.update(&id, |data| data.insert("left", 1)).await,
            Err(WithError::Acquire(AcquireError::Record(_)))
        ));
        assert!(matches!(
            sessions.destroy(&id).await,
            Err(DestroyError::Record(_))
        ));
        let locked = sessions.lock(&id).await;
        assert!(matches!(locked, Err(AcquireError::Record(error)) if error.fault == fault));
        let read = sessions.snapshot(&id).await;
        assert!(matches!(read, Err(ReadError::Record(error)) if error.fault == fault));
    }
}

/// The header of a session that is not stored yet.
pub(crate) fn new_header() -> Header {
    Header {
        kind: RecordKind::Live,
        commit_id: CommitId::random(),
        revision: Revision::default(),
        created: StoreTime::default(),
        absolute_end: StoreTime::default(),
        idle_timeout: Duration::ZERO,
        handle: SessionHandle::random(),
        user_tag: 0,
        flags: 0,
        digest: Digest::default(),
    }
}
