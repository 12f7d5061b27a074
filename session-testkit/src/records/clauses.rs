use session_core::{
    CommitError, CommitId, Committed, Creation, Leaves, LoadLocked, Pointer, Promise, RecordKind,
    RecordStore, Rotation, SessionId, SessionKey, StoreTime, Stored, Timeouts, TouchAfter,
};
use session_lock::FencingToken;

use super::RecordsFixture;
use crate::{
    cancel_after,
    primary::{body, ms, new_header, next_version},
};

const FIRST: FencingToken = FencingToken(7);
const SECOND: FencingToken = FencingToken(8);

/// A store that works says so.
pub async fn ping_succeeds<F: RecordsFixture>(fixture: &F) {
    fixture.store().ping().await.expect("the store answers");
}

/// What was stored is what is read.
pub async fn a_created_record_is_loaded<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, created) = create(&store).await;
    let read = load(&store, &key).await.expect("it is there");
    assert_eq!(read.body, body(1));
    assert_eq!(read.header.revision, created.revision);
    let locked = load_locked(&store, &key, FIRST).await;
    assert_eq!(locked.expect("it is there").header, read.header);
}

/// Unknown is no fault.
pub async fn an_unknown_record_is_none<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let key = *SessionId::random().key();
    assert!(load(&store, &key).await.is_none());
    assert!(load_locked(&store, &key, FIRST).await.is_none());
    store.touch(&key).await.expect("unknown is no error");
    assert!(load(&store, &key).await.is_none());
    create_at(&store, &key, Timeouts::default())
        .await
        .expect("nothing was stored in its place");
}

/// What has expired is gone for readers and writers.
pub async fn an_expired_record_is_none_and_takes_no_write<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let key = *SessionId::random().key();
    let created = create_at(&store, &key, timeouts(400, 10_000)).await;
    created.expect("a new record is stored");
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    fixture.pass(ms(700)).await;
    assert!(load(&store, &key).await.is_none());
    let refused = store
        .commit(&key, FIRST, next_version(&seen, &body(2)))
        .await;
    assert!(
        matches!(
            refused,
            Err(CommitError::Expired | CommitError::Destroyed | CommitError::LeaseLost { .. })
        ),
        "{refused:?}"
    );
    store.touch(&key).await.expect("expired is no error");
    assert!(load(&store, &key).await.is_none(), "brought back");
}

/// Clause 2: under the registered token, over the version that stands.
pub async fn a_commit_replaces_the_record_and_gives_a_larger_revision<F: RecordsFixture>(
    fixture: &F,
) {
    let store = fixture.store();
    let (key, created) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    let committed = store
        .commit(&key, FIRST, next_version(&seen, &body(2)))
        .await;
    let committed = committed.expect("the change is stored");
    assert!(committed.revision > created.revision);
    let read = load(&store, &key).await.expect("it is there");
    assert_eq!(
        (read.body, read.header.revision),
        (body(2), committed.revision)
    );
    assert_ne!(read.header.commit_id, seen.header.commit_id);
}

/// Clause 2: the base has to stand.
pub async fn a_commit_over_another_version_changes_nothing<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    let mut over_another = next_version(&seen, &body(2));
    over_another.base = CommitId::random();
    let refused = store.commit(&key, FIRST, over_another).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    unchanged(&store, &key, &seen).await;
}

/// Clause 2: absence is never permission.
pub async fn a_commit_never_creates<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    let unknown = *SessionId::random().key();
    for (key, what) in [(unknown, "unknown"), (key, "ended")] {
        store.destroy(&key).await.expect("it can be ended");
        let refused = store
            .commit(&key, FIRST, next_version(&seen, &body(2)))
            .await;
        assert!(refused.is_err(), "stored over an {what} record");
        assert!(load(&store, &key).await.is_none());
    }
}

/// Clauses 1 and 2: who has not loaded under its token has not registered it.
pub async fn a_commit_under_an_unregistered_token_changes_nothing<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load(&store, &key).await.expect("it is there");
    let refused = store
        .commit(&key, FIRST, next_version(&seen, &body(2)))
        .await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    unchanged(&store, &key, &seen).await;
}

/// Clause 1: registering a token shuts out all earlier holders, whose base still stands.
pub async fn a_commit_under_an_earlier_token_changes_nothing<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    load_locked(&store, &key, SECOND)
        .await
        .expect("it is there");
    let refused = store
        .commit(&key, FIRST, next_version(&seen, &body(2)))
        .await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    unchanged(&store, &key, &seen).await;
    let committed = store
        .commit(&key, SECOND, next_version(&seen, &body(3)))
        .await;
    committed.expect("the change is stored");
}

/// Clause 1: a lock server that has forgotten how far it was is told so.
pub async fn a_smaller_token_is_behind_the_registered_one<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, SECOND)
        .await
        .expect("it is there");
    let behind = store.load_locked(&key, FIRST).await;
    let behind = behind.expect("the store answers");
    assert!(matches!(behind, LoadLocked::Behind(SECOND)), "{behind:?}");
    let refused = store
        .commit(&key, FIRST, next_version(&seen, &body(2)))
        .await;
    assert!(
        matches!(refused, Err(CommitError::LeaseLost { .. })),
        "{refused:?}"
    );
    unchanged(&store, &key, &seen).await;
}

/// Clause 1: two grants of one token are two holders, of whom the lock's server has forgotten the first.
pub async fn a_token_is_registered_once<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    load_locked(&store, &key, FIRST).await.expect("it is there");
    let behind = store.load_locked(&key, FIRST).await;
    assert!(
        matches!(behind, Ok(LoadLocked::Behind(FIRST))),
        "{behind:?}"
    );
}

/// Clause 1: a commit is no new beginning.
pub async fn the_registered_token_outlives_a_commit<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, SECOND)
        .await
        .expect("it is there");
    let committed = store
        .commit(&key, SECOND, next_version(&seen, &body(2)))
        .await;
    committed.expect("the change is stored");
    let behind = store.load_locked(&key, FIRST).await;
    assert!(
        matches!(behind, Ok(LoadLocked::Behind(SECOND))),
        "{behind:?}"
    );
}

/// Clause 1: a mere reader shuts nobody out.
pub async fn loading_without_the_lock_registers_nothing<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    load(&store, &key).await.expect("it is there");
    let committed = store
        .commit(&key, FIRST, next_version(&seen, &body(2)))
        .await;
    committed.expect("the change is stored");
}

/// Clause 3: only where nothing stands, a tombstone included.
pub async fn create_never_overwrites<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load(&store, &key).await.expect("it is there");
    let refused = create_at(&store, &key, Timeouts::default()).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    unchanged(&store, &key, &seen).await;
    store.destroy(&key).await.expect("it can be ended");
    let refused = create_at(&store, &key, Timeouts::default()).await;
    refused.expect_err("the place is taken");
    assert!(load(&store, &key).await.is_none());
}

/// Clause 4: an end needs no lock, and holds against whoever has it.
pub async fn destroy_ends_under_any_token<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, SECOND)
        .await
        .expect("it is there");
    store.destroy(&key).await.expect("it can be ended");
    store.destroy(&key).await.expect("ending again is safe");
    assert!(load(&store, &key).await.is_none());
    assert!(load_locked(&store, &key, FencingToken(9)).await.is_none());
    let refused = store
        .commit(&key, SECOND, next_version(&seen, &body(2)))
        .await;
    assert!(
        matches!(refused, Err(CommitError::Destroyed)),
        "{refused:?}"
    );
    assert!(load(&store, &key).await.is_none());
}

/// Clause 4: a guessed ID costs the store nothing.
pub async fn destroy_of_unknown_stores_nothing<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let key = *SessionId::random().key();
    store.destroy(&key).await.expect("unknown is no error");
    let created = create_at(&store, &key, Timeouts::default()).await;
    created.expect("nothing stands in its place");
}

/// Clause 2: who comes late ends, touches and moves nothing.
pub async fn a_late_holder_ends_touches_and_moves_nothing<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    load_locked(&store, &key, SECOND)
        .await
        .expect("it is there");
    let to = SessionId::random_in(key.bucket());
    let mut answers = vec![
        store.touch_locked(&key, FIRST).await,
        store.end(&key, FIRST).await,
    ];
    if store.capabilities().has(Promise::Rotation) {
        answers.push(move_to(&store, &key, FIRST, &seen, *to.key()).await);
    }
    for refused in answers {
        assert!(
            matches!(refused, Err(CommitError::LeaseLost { .. })),
            "{refused:?}"
        );
    }
    unchanged(&store, &key, &seen).await;
    assert!(load(&store, to.key()).await.is_none());
    let touched = store.touch_locked(&key, SECOND).await;
    touched.expect("it is the holder's");
    let ended = store.end(&key, SECOND).await;
    ended.expect("it is the holder's");
    assert!(load(&store, &key).await.is_none());
    for refused in [
        store.touch_locked(&key, SECOND).await,
        store.end(&key, SECOND).await,
    ] {
        assert!(
            matches!(refused, Err(CommitError::Destroyed)),
            "{refused:?}"
        );
    }
}

/// Clause 6: a session goes on under its new ID, and nothing writes through the old one.
pub async fn a_moved_session_is_read_under_both_ids_and_written_under_the_new_one<
    F: RecordsFixture,
>(
    fixture: &F,
) {
    let store = fixture.store();
    if !store.capabilities().has(Promise::Rotation) {
        return;
    }
    let (key, _) = create(&store).await;
    let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
    let to = *SessionId::random_in(key.bucket()).key();
    let moved = move_to(&store, &key, FIRST, &seen, to).await;
    moved.expect("it is the holder's");
    let new = load_locked(&store, &to, FIRST).await.expect("it goes on");
    assert_eq!(
        (new.body.clone(), new.header.kind),
        (body(2), RecordKind::Live)
    );
    assert!(new.header.revision > seen.header.revision);
    assert_eq!(new.header.created, seen.header.created);
    let old = load(&store, &key).await.expect("it is there for the grace");
    assert_eq!((old.header.kind, old.body), (RecordKind::Alias, body(9)));
    // The token outlives nothing: the alias takes no lock and no write.
    let locked = load_locked(&store, &key, SECOND).await.expect("an alias");
    assert_eq!(locked.header.kind, RecordKind::Alias);
    let refused = store
        .commit(&key, FIRST, next_version(&seen, &body(3)))
        .await;
    assert!(matches!(refused, Err(CommitError::Rotated)), "{refused:?}");
    let alias = store.destroy(&key).await.expect("the store answers");
    assert!(alias.is_some_and(|alias| alias.header.kind == RecordKind::Alias));
    assert!(load(&store, &to).await.is_some(), "ended by its alias");
}

/// A touch moves the idle end, upwards, never past the absolute one, and nothing else.
pub async fn a_touch_moves_the_idle_end_only<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let key = *SessionId::random().key();
    let created = create_at(&store, &key, timeouts(900, 1_500)).await;
    created.expect("a new record is stored");
    let before = load(&store, &key).await.expect("it is there");
    for _ in 0..2 {
        fixture.pass(ms(500)).await;
        store.touch(&key).await.expect("it can be touched");
        let after = load(&store, &key).await.expect("a touch is a use");
        assert_eq!(after.header, before.header);
        let absolute = after.header.absolute_end.saturating_since(after.read_at);
        assert!(after.time_to_live <= absolute, "it would outlive its end");
    }
    fixture.pass(ms(900)).await;
    assert!(load(&store, &key).await.is_none(), "use kept it alive");
}

/// Nothing comes back by a touch.
pub async fn a_touch_brings_nothing_back<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let (key, _) = create(&store).await;
    store.destroy(&key).await.expect("it can be ended");
    store.touch(&key).await.expect("ended is no error");
    assert!(load(&store, &key).await.is_none());
}

/// Clause 5: what the writer says of times is not believed.
pub async fn times_are_the_stores_own<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    let key = *SessionId::random().key();
    let mut header = new_header();
    header.created = StoreTime::from_millis(1);
    header.absolute_end = StoreTime::from_millis(2);
    header.idle_timeout = ms(1);
    let creation = Creation {
        header,
        body: body(1),
        timeouts: timeouts(20_000, 40_000),
        login: None,
    };
    let created = store.create(&key, creation).await;
    created.expect("a new record is stored");
    let read = load(&store, &key).await.expect("it is there");
    assert_eq!(read.header.idle_timeout, ms(20_000));
    assert_eq!(
        read.header.absolute_end,
        read.header.created.after(ms(40_000))
    );
    assert!(read.read_at >= read.header.created);
    assert!(read.time_to_live <= ms(20_000) && read.time_to_live > ms(10_000));
}

/// Whatever is dropped in the middle, the record is old or new, and can be written.
pub async fn cancelled_operations_are_whole<F: RecordsFixture>(fixture: &F) {
    let store = fixture.store();
    for polls in 0..500 {
        let (key, _) = create(&store).await;
        let work = async {
            store.touch(&key).await.expect("it can be touched");
            let seen = load_locked(&store, &key, FIRST).await.expect("it is there");
            let committed = store
                .commit(&key, FIRST, next_version(&seen, &body(2)))
                .await;
            committed.expect("the change is stored");
        };
        let finished = cancel_after(polls, work).await.is_some();
        let seen = load_locked(&store, &key, SECOND)
            .await
            .expect("it is there");
        assert!([body(1), body(2)].contains(&seen.body), "half a record");
        let committed = store
            .commit(&key, SECOND, next_version(&seen, &body(3)))
            .await;
        committed.expect("the change is stored");
        if finished {
            assert_eq!(seen.body, body(2));
            return;
        }
    }
    panic!("the operations never finish");
}

async fn create(store: &impl RecordStore) -> (SessionKey, Committed) {
    let key = *SessionId::random().key();
    let created = create_at(store, &key, Timeouts::default()).await;
    (key, created.expect("a new record is stored"))
}

/// Lets a session go on under another ID, with an alias under the old one.
async fn move_to(
    store: &impl RecordStore,
    key: &SessionKey,
    token: FencingToken,
    seen: &Stored,
    to: SessionKey,
) -> Result<(), CommitError> {
    let write = next_version(seen, &body(2));
    let mut alias = new_header();
    alias.kind = RecordKind::Alias;
    alias.absolute_end = seen.header.absolute_end;
    alias.idle_timeout = seen.header.idle_timeout;
    let rotation = Rotation {
        base: write.base,
        to,
        header: write.header,
        body: write.body,
        leaves: Leaves::Alias(Pointer {
            key: *key,
            header: alias,
            body: body(9),
        }),
        grace: ms(60_000),
        earlier: Vec::new(),
        forgotten: Vec::new(),
        login: None,
    };
    store.rotate(key, token, rotation).await.map(|_moved| ())
}

async fn create_at(
    store: &impl RecordStore,
    key: &SessionKey,
    timeouts: Timeouts,
) -> Result<Committed, CommitError> {
    let creation = Creation {
        header: new_header(),
        body: body(1),
        timeouts,
        login: None,
    };
    store.create(key, creation).await
}

async fn load(store: &impl RecordStore, key: &SessionKey) -> Option<Stored> {
    let loaded = store.load(key, TouchAfter::Never).await;
    loaded.expect("it can be read")
}

async fn load_locked(
    store: &impl RecordStore,
    key: &SessionKey,
    token: FencingToken,
) -> Option<Stored> {
    let loaded = store.load_locked(key, token).await;
    match loaded.expect("it can be read") {
        LoadLocked::Loaded(stored) => stored,
        LoadLocked::Behind(registered) => panic!("behind {registered:?}"),
    }
}

async fn unchanged(store: &impl RecordStore, key: &SessionKey, before: &Stored) {
    let now = load(store, key).await.expect("it is there");
    assert_eq!(
        (now.header, now.body),
        (before.header.clone(), before.body.clone())
    );
}

fn timeouts(idle_ms: u64, absolute_ms: u64) -> Timeouts {
    Timeouts::new(ms(idle_ms), ms(absolute_ms)).expect("the timeouts are valid")
}
