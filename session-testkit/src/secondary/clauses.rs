use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Applied, Change, Codec, Revision, Row, SecondaryStore, SessionData, SessionHandle, StoreTime,
    UserId, Version,
};
use session_lock::{Clock as _, SystemClock};

use super::SecondaryFixture;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn now() -> StoreTime {
    StoreTime::default().after(SystemClock.unix_time())
}

fn body<F: SecondaryFixture>(value: u32) -> Bytes {
    match F::CODEC {
        Codec::Json => format!("{{\"n\":{value}}}").into(),
        _ => {
            let [a, b, c, d] = value.to_be_bytes();
            vec![0x81, 0xa1, b'n', 0xce, a, b, c, d].into()
        }
    }
}

fn row<F: SecondaryFixture>(value: u32) -> Row {
    let now = now();
    Row {
        created: now,
        absolute_end: now.after(12 * HOUR),
        idle_end: now.after(HOUR),
        user: None,
        codec: F::CODEC,
        is_sealed: false,
        body: body::<F>(value),
    }
}

fn stored<F: SecondaryFixture>(session: SessionHandle, revision: u64, value: u32) -> Change {
    Change {
        session,
        version: Version::stored(Revision(revision)),
        row: Some(row::<F>(value)),
    }
}

const fn ended(session: SessionHandle, revision: u64) -> Change {
    Change {
        session,
        version: Version::ended(Revision(revision)),
        row: None,
    }
}

async fn apply(store: &impl SecondaryStore, change: &Change) -> Applied {
    store.apply(change).await.expect("it can be applied")
}

async fn load(store: &impl SecondaryStore, session: SessionHandle) -> Option<Row> {
    store.load(session).await.expect("it can be asked")
}

/// A store may write the same values in another way.
fn value_of(row: &Row) -> u32 {
    let data = SessionData::from_encoded(row.codec, &row.body).expect("it is a body");
    assert_eq!(data.len(), 1);
    data.get("n").expect("it is a number").expect("it is there")
}

async fn shows<F: SecondaryFixture>(fixture: &F, session: SessionHandle, value: Option<u32>) {
    for store in [fixture.store(), fixture.elsewhere().await] {
        let shown = load(&store, session).await;
        assert_eq!(shown.as_ref().map(value_of), value);
    }
}

/// Clause 5.
pub async fn what_was_applied_is_loaded<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    shows(fixture, session, None).await;
    assert_eq!(
        apply(&store, &stored::<F>(session, 5, 1)).await,
        Applied::Changed
    );
    shows(fixture, session, Some(1)).await;
}

/// Clause 1.
pub async fn a_newer_version_takes_the_place_of_an_older_one<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    apply(&store, &stored::<F>(session, 5, 1)).await;
    assert_eq!(
        apply(&store, &stored::<F>(session, 6, 2)).await,
        Applied::Changed
    );
    shows(fixture, session, Some(2)).await;
}

/// Clause 1.
pub async fn an_older_version_changes_nothing<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    apply(&store, &stored::<F>(session, 6, 2)).await;
    assert_eq!(
        apply(&store, &stored::<F>(session, 5, 1)).await,
        Applied::Known
    );
    assert_eq!(apply(&store, &ended(session, 5)).await, Applied::Known);
    shows(fixture, session, Some(2)).await;
}

/// Clause 3: an answer that was lost is asked for again.
pub async fn a_change_applied_again_is_known<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    let change = stored::<F>(session, 5, 1);
    apply(&store, &change).await;
    assert_eq!(
        apply(&fixture.elsewhere().await, &change).await,
        Applied::Known
    );
    shows(fixture, session, Some(1)).await;
    let end = ended(session, 5);
    assert_eq!(apply(&store, &end).await, Applied::Changed);
    assert_eq!(apply(&store, &end).await, Applied::Known);
}

/// Clause 2.
pub async fn what_has_ended_is_nothing<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    apply(&store, &stored::<F>(session, 5, 1)).await;
    assert_eq!(apply(&store, &ended(session, 6)).await, Applied::Changed);
    shows(fixture, session, None).await;
}

/// Clause 2: a deliverer that was stopped goes on.
pub async fn nothing_comes_back_after_the_end<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    apply(&store, &stored::<F>(session, 5, 1)).await;
    apply(&store, &ended(session, 7)).await;
    for late in [6, 7] {
        let change = stored::<F>(session, late, 2);
        assert_eq!(
            apply(&fixture.elsewhere().await, &change).await,
            Applied::Known
        );
    }
    shows(fixture, session, None).await;
}

/// Clause 1: a session that ran out is ended under the revision that it had.
pub async fn the_end_comes_after_the_version_that_it_ends<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    apply(&store, &stored::<F>(session, 5, 1)).await;
    assert_eq!(apply(&store, &ended(session, 5)).await, Applied::Changed);
    shows(fixture, session, None).await;
}

/// Clause 2: the end may come first.
pub async fn the_end_of_an_unknown_session_is_remembered<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    assert_eq!(apply(&store, &ended(session, 7)).await, Applied::Changed);
    assert_eq!(
        apply(&store, &stored::<F>(session, 6, 1)).await,
        Applied::Known
    );
    shows(fixture, session, None).await;
}

/// Clause 1: a login that a crash has cut in two goes on under another key.
pub async fn a_session_that_goes_on_after_an_end_is_there<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    apply(&store, &ended(session, 7)).await;
    assert_eq!(
        apply(&store, &stored::<F>(session, 8, 3)).await,
        Applied::Changed
    );
    shows(fixture, session, Some(3)).await;
}

/// Clause 5.
pub async fn what_has_run_out_is_nothing<F: SecondaryFixture>(fixture: &F) {
    let store = fixture.store();
    for past in [Past::Idle, Past::Absolute] {
        let session = SessionHandle::random();
        apply(&store, &run_out::<F>(session, past)).await;
        shows(fixture, session, None).await;
    }
}

/// Clause 1.
pub async fn a_version_of_what_has_run_out_is_remembered<F: SecondaryFixture>(fixture: &F) {
    let store = fixture.store();
    for past in [Past::Idle, Past::Absolute] {
        let session = SessionHandle::random();
        apply(&store, &run_out::<F>(session, past)).await;
        assert_eq!(
            apply(&store, &stored::<F>(session, 4, 1)).await,
            Applied::Known
        );
        shows(fixture, session, None).await;
    }
}

#[derive(Clone, Copy)]
enum Past {
    Idle,
    Absolute,
}

fn run_out<F: SecondaryFixture>(session: SessionHandle, past: Past) -> Change {
    let mut change = stored::<F>(session, 5, 1);
    let row = change.row.as_mut().expect("it has one");
    let before = StoreTime::from_millis(row.created.as_millis() - 2_000);
    row.created = StoreTime::from_millis(row.created.as_millis() - 60_000);
    row.idle_end = before;
    if let Past::Absolute = past {
        row.absolute_end = before;
    }
    change
}

/// Clause 4.
pub async fn being_seen_moves_the_idle_end_forward_only<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    let change = stored::<F>(session, 5, 1);
    let row = change.row.clone().expect("it has one");
    apply(&store, &change).await;
    let later = row.idle_end.after(MINUTE);
    store.seen(session, later).await.expect("it can be told");
    let shown = load(&store, session).await.expect("it lives");
    assert_eq!(shown.idle_end, later);
    store
        .seen(session, row.idle_end)
        .await
        .expect("it can be told");
    let shown = load(&fixture.elsewhere().await, session).await;
    assert_eq!(shown.expect("it lives").idle_end, later);
}

/// Clause 4.
pub async fn being_seen_never_moves_past_the_absolute_end<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    let change = stored::<F>(session, 5, 1);
    let absolute_end = change.row.as_ref().expect("it has one").absolute_end;
    apply(&store, &change).await;
    let beyond = absolute_end.after(MINUTE);
    store.seen(session, beyond).await.expect("it can be told");
    let shown = load(&store, session).await.expect("it lives");
    assert_eq!(shown.idle_end, absolute_end);
}

/// Clause 4.
pub async fn being_seen_brings_nothing_back<F: SecondaryFixture>(fixture: &F) {
    let store = fixture.store();
    let [unknown, gone] = [(); 2].map(|()| SessionHandle::random());
    apply(&store, &stored::<F>(gone, 5, 1)).await;
    apply(&store, &ended(gone, 6)).await;
    for session in [unknown, gone] {
        let later = now().after(HOUR);
        store.seen(session, later).await.expect("it can be told");
        shows(fixture, session, None).await;
    }
    // Nor is it a version.
    assert_eq!(
        apply(&store, &stored::<F>(unknown, 1, 1)).await,
        Applied::Changed
    );
}

/// Clause 1.
pub async fn sessions_know_nothing_of_each_other<F: SecondaryFixture>(fixture: &F) {
    let (store, [one, other]) = (fixture.store(), [(); 2].map(|()| SessionHandle::random()));
    apply(&store, &stored::<F>(one, 9, 1)).await;
    apply(&store, &stored::<F>(other, 5, 2)).await;
    apply(&store, &ended(one, 10)).await;
    shows(fixture, one, None).await;
    shows(fixture, other, Some(2)).await;
}

/// Clause 5.
pub async fn everything_about_a_row_is_kept<F: SecondaryFixture>(fixture: &F) {
    let (store, session) = (fixture.store(), SessionHandle::random());
    for (revision, user) in [(5, Some("Zoë '7'")), (6, None)] {
        let mut change = stored::<F>(session, revision, 1);
        let row = change.row.as_mut().expect("it has one");
        row.user = user.map(|user| UserId::try_from(user).expect("it is a name"));
        apply(&store, &change).await;
        let shown = load(&fixture.elsewhere().await, session).await;
        let (mut shown, row) = (shown.expect("it lives"), change.row.expect("it has one"));
        assert_eq!(value_of(&shown), 1);
        shown.body = row.body.clone();
        assert!(shown == row, "another row is shown");
    }
}

/// Clause 1: many changes at once, each twice, in any order.
pub async fn of_two_deliverers_the_newer_change_stands<F: SecondaryFixture>(fixture: &F) {
    let session = SessionHandle::random();
    let stores = [fixture.store(), fixture.elsewhere().await];
    let deliver = |store: F::Store, at: usize| async move {
        let mut changed = Vec::new();
        for step in 0..40_u64 {
            // One forwards, one by leaps.
            let revision = if at == 0 {
                step + 1
            } else {
                (step * 7) % 40 + 1
            };
            let value = u32::try_from(revision).expect("it is small");
            if apply(&store, &stored::<F>(session, revision, value)).await == Applied::Changed {
                changed.push(revision);
            }
        }
        changed
    };
    let [one, other] = stores;
    let (one, other) = tokio::join!(
        tokio::spawn(deliver(one, 0)),
        tokio::spawn(deliver(other, 1))
    );
    let [one, other] = [one, other].map(|changed| changed.expect("no task fails"));
    for line in [&one, &other] {
        assert!(
            line.is_sorted(),
            "an older version took the place of a newer one"
        );
    }
    let twice = one.iter().find(|revision| other.contains(revision));
    assert_eq!(twice, None, "one version was taken over twice");
    shows(fixture, session, Some(40)).await;
}
