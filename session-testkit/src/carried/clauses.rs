use std::time::Duration;

use session_core::{
    CarriedSession, CarriedStore, Codec, CommitCarriedError, LoadCarriedError, Promise,
    SessionData, Unusable, UserId,
};

use super::CarriedFixture;

const SECOND: Duration = Duration::from_secs(1);
const SECRET: &str = "a value that nobody may see";

/// Clause 1: the values, and what they are worth.
pub async fn what_was_committed_is_loaded<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let mut session = store.create();
    session.insert("name", "Zoë \"😀\"\n\0/").expect("it fits");
    session.insert("n", -3).expect("it fits");
    session.insert("é", [Some(1.5), None]).expect("it fits");
    let record = commit(&store, &session).await;

    let mut loaded = load(&fixture.store(), &record).await;
    same_values(&loaded, &session);
    assert_eq!(loaded.get("n").expect("a number"), Some(-3));
    loaded.remove("n");
    loaded.insert("name", "Ada").expect("it fits");
    let record = commit(&fixture.store(), &loaded).await;
    let again = load(&store, &record).await;
    same_values(&again, &loaded);
    assert_eq!(again.absolute_end(), session.absolute_end());
    assert_eq!(again.handle(), session.handle());
}

/// Clause 1.
pub async fn a_session_without_values_is_carried<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let session = store.create();
    assert!(!session.is_modified());
    let record = commit(&store, &session).await;
    let loaded = load(&store, &record).await;
    assert!(loaded.is_empty() && !loaded.is_modified());
}

/// Clause 1: also one that another store has made.
pub async fn a_session_from_another_codec_is_carried<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    for codec in [Codec::MessagePack, Codec::Json] {
        let mut session = CarriedSession::empty(codec);
        session.insert("n", 3).expect("it fits");
        let loaded = load(&store, &commit(&store, &session).await).await;
        assert_eq!(loaded.get("n").expect("a number"), Some(3), "{codec:?}");
    }
}

/// A client gets a new record only for a reason.
pub async fn nothing_is_due_after_a_load<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let record = carried(&store).await;
    let mut loaded = load(&store, &record).await;
    assert!(!loaded.needs_commit());
    loaded.insert("more", true).expect("it fits");
    assert!(loaded.needs_commit());
}

/// Clause 1: whatever a client does to its record, at whichever place.
pub async fn no_changed_record_is_loaded<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let record = carried(&store).await;
    for (at, _) in record.char_indices() {
        refused(&store, &record[..at]).await;
        refused(&store, &record[at + 1..]).await;
        refused(&store, &format!("{}{}", &record[..at], &record[at + 1..])).await;
        let twice = &record[at..=at];
        refused(
            &store,
            &format!("{}{twice}{}", &record[..at], &record[at..]),
        )
        .await;
        let flipped = char::from(record.as_bytes()[at] ^ 1);
        for other in [
            'A', 'B', 'w', '9', '_', '-', '=', '.', '+', '/', ' ', 'é', flipped,
        ] {
            if !record[at..].starts_with(other) {
                let changed = format!("{}{other}{}", &record[..at], &record[at + 1..]);
                refused(&store, &changed).await;
            }
        }
    }
    for more in ["A", "AAAA", "=", "==", ".", " ", "\n"] {
        refused(&store, &format!("{record}{more}")).await;
        refused(&store, &format!("{more}{record}")).await;
    }
    load(&store, &record).await;
}

/// Clause 1.
pub async fn no_record_is_loaded_under_another_key<F: CarriedFixture>(fixture: &F) {
    let record = carried(&fixture.store()).await;
    let why = refused(&fixture.under_another_key(), &record).await;
    assert!(
        matches!(why, Unusable::NotAuthentic | Unusable::UnknownKey { .. }),
        "{why:?}"
    );
}

/// Clause 1: and its client gets another one.
pub async fn a_record_under_an_older_key_is_loaded_and_due<F: CarriedFixture>(fixture: &F) {
    let record = carried(&fixture.store()).await;
    let newer = fixture.under_a_newer_key();
    let loaded = load(&newer, &record).await;
    assert!(loaded.needs_commit() && !loaded.is_modified());
    let record = commit(&newer, &loaded).await;
    assert!(!load(&newer, &record).await.needs_commit());
    refused(&fixture.store(), &record).await;
}

/// Clause 2.
pub async fn a_request_without_a_record_begins_a_session<F: CarriedFixture>(fixture: &F) {
    let session = fixture.store().open(None).await.expect("nothing to read");
    assert!(session.is_empty() && session.unusable().is_none());
    assert!(!session.needs_commit());
}

/// Clause 2.
pub async fn an_unusable_record_begins_a_session_that_knows_why<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    for bad in ["", "no record", "AAAA", "é", "a.b.c", &"A".repeat(100_000)] {
        let session = store.open(Some(bad)).await.expect("no fault");
        assert!(session.is_empty());
        let why = session.unusable().expect("it was not used").clone();
        assert_eq!(refused(&store, bad).await, why);
        load(&store, &commit(&store, &session).await).await;
    }
    let record = carried(&store).await;
    let session = store.open(Some(&record)).await.expect("no fault");
    assert!(session.unusable().is_none() && !session.is_empty());
}

/// Clause 3, to the last byte.
pub async fn records_fit_and_may_stand_in_a_cookie<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    assert!(store.max_len() <= 4_096);
    let mut session = store.create();
    let mut longest = 0;
    for len in 0..=store.max_len() {
        session.insert("text", "é".repeat(len)).expect("it fits");
        match store.commit(&session).await {
            Ok(record) => {
                // RFC 6265, 4.1.1, cookie-octet.
                let may_stand = |byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
                assert!(record.bytes().all(may_stand), "{record}");
                assert!(record.len() <= store.max_len());
                longest = record.len();
                let loaded = load(&store, &record).await;
                same_values(&loaded, &session);
            }
            Err(CommitCarriedError::TooLarge { len, limit }) => {
                assert!(len > limit && limit == store.max_len());
                // Base64 of a block of a cipher.
                assert!(longest + 24 > limit, "{longest} was the longest");
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it never is too large");
}

/// Clause 3.
pub async fn what_is_too_large_is_refused_and_nothing_is_lost<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let mut session = store.create();
    session.insert("keep", 7).expect("it fits");
    session
        .insert("large", "x".repeat(store.max_len()))
        .expect("it fits here");
    let error = store.commit(&session).await.expect_err("it does not fit");
    assert!(
        matches!(error, CommitCarriedError::TooLarge { .. }),
        "{error}"
    );
    assert!(session.contains_key("large") && session.needs_commit());
    session.remove("large");
    let loaded = load(&store, &commit(&store, &session).await).await;
    assert_eq!(loaded.get("keep").expect("a number"), Some(7));
}

/// Clause 3: nobody makes us decode a megabyte.
pub async fn what_is_too_long_is_not_read<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let (len, limit) = (store.max_len() + 1, store.max_len());
    let why = refused(&store, &"A".repeat(len)).await;
    assert_eq!(why, Unusable::TooLong { len, limit });
}

/// Clause 4.
pub async fn an_unused_record_ends<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let record = carried(&store).await;
    fixture.pass(fixture.timeouts().idle() - SECOND).await;
    load(&store, &record).await;
    fixture.pass(3 * SECOND).await;
    if store.capabilities().has(Promise::BothClocks) {
        let why = refused(&store, &record).await;
        assert!(matches!(why, Unusable::Expired { .. }), "{why:?}");
    } else {
        load(&store, &record).await;
    }
}

/// Clause 4.
pub async fn a_commit_moves_the_idle_end_and_not_the_absolute_one<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    if !store.capabilities().has(Promise::BothClocks) {
        return;
    }
    let (idle, absolute) = (fixture.timeouts().idle(), fixture.timeouts().absolute());
    let mut record = carried(&store).await;
    let step = idle - SECOND;
    let mut passed = Duration::ZERO;
    while passed + step < absolute {
        fixture.pass(step).await;
        passed += step;
        let mut session = load(&store, &record).await;
        session.insert("passed", passed.as_secs()).expect("it fits");
        record = commit(&store, &session).await;
    }
    assert!(passed > idle, "the timeouts of the fixture are too close");
    fixture.pass(absolute - passed + SECOND).await;
    let why = refused(&store, &record).await;
    assert!(matches!(why, Unusable::Expired { .. }), "{why:?}");
}

/// Clause 4: a request that began before the end and is over after it.
pub async fn a_late_commit_is_refused<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let session = load(&store, &carried(&store).await).await;
    fixture.pass(fixture.timeouts().absolute() + SECOND).await;
    let late = store.commit(&session).await;
    if store.capabilities().has(Promise::BothClocks) {
        assert_eq!(late, Err(CommitCarriedError::Expired));
    } else {
        late.expect("it never ends");
    }
}

/// Clause 4: so that a session that is only read lives on.
pub async fn a_record_is_due_after_a_tenth_of_the_idle_timeout<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let record = carried(&store).await;
    fixture.pass(fixture.timeouts().idle() / 10 + SECOND).await;
    let due = load(&store, &record).await.needs_commit();
    assert_eq!(due, store.capabilities().has(Promise::BothClocks));
}

/// Clause 4: only as far as clocks differ.
pub async fn a_record_from_the_future_is_unusable<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    load(&store, &carried(&fixture.ahead(30 * SECOND)).await).await;
    let record = carried(&fixture.ahead(3_600 * SECOND)).await;
    // A store whose records say when they end, and not when they were made, cannot tell.
    if let Err(LoadCarriedError::Unusable(why)) = store.load(&record).await {
        assert!(matches!(why, Unusable::FutureDated { .. }), "{why:?}");
    } else {
        assert!(!F::MADE_IS_KNOWN, "it was loaded");
    }
}

/// Clause 5, the limit: nobody is kept from changing the session, and nobody is told.
pub async fn the_last_answer_wins<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let record = carried(&store).await;
    let (mut one, mut other) = (load(&store, &record).await, load(&store, &record).await);
    one.insert("one", true).expect("it fits");
    other.insert("other", true).expect("it fits");
    commit(&store, &one).await;
    let last = load(&store, &commit(&store, &other).await).await;
    assert!(last.contains_key("other") && !last.contains_key("one"));
}

/// Clause 6, the promise and the limit.
pub async fn destroy_holds_against_copies_as_far_as_is_promised<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let first = carried(&store).await;
    let mut slow = load(&store, &first).await;
    let second = commit(&store, &load(&store, &first).await).await;
    let session = load(&fixture.store(), &second).await;
    store.destroy(&session).await.expect("it can be ended");
    store.destroy(&session).await.expect("ending again is safe");
    slow.insert("late", true).expect("it fits");
    let late = commit(&store, &slow).await;
    let replica = fixture.store();
    for record in [&first, &second, &late] {
        match replica.load(record).await {
            Ok(_) => assert!(!replica.capabilities().has(Promise::LogoutIsFinal)),
            Err(LoadCarriedError::Unusable(why)) => {
                assert!(replica.capabilities().has(Promise::LogoutIsFinal));
                assert_eq!(why, Unusable::Ended);
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    if !store.capabilities().has(Promise::LogoutIsFinal) {
        return;
    }
    let step = fixture.timeouts().idle() - SECOND;
    let mut passed = Duration::ZERO;
    while passed < fixture.timeouts().absolute() {
        fixture.pass(step).await;
        passed += step;
        if let Ok(record) = store.commit(&slow).await {
            assert_eq!(refused(&store, &record).await, Unusable::Ended);
        }
    }
}

/// Clause 6.
pub async fn destroy_ends_one_session_only<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let other = carried(&store).await;
    let session = load(&store, &carried(&store).await).await;
    store.destroy(&session).await.expect("it can be ended");
    load(&store, &other).await;
}

/// Clause 7.
pub async fn regenerate_keeps_the_values_and_ends_the_former_session<F: CarriedFixture>(
    fixture: &F,
) {
    let store = fixture.store();
    let former = carried(&store).await;
    fixture.pass(Duration::from_secs(30)).await;
    let session = load(&store, &former).await;
    let renewed = store.regenerate(&session).await.expect("it can be ended");
    assert!(renewed.needs_commit());
    let record = commit(&store, &renewed).await;
    let read = load(&store, &record).await;
    same_values(&read, &session);
    assert_eq!(read.absolute_end(), session.absolute_end());
    takes_the_place_of(fixture, &read, &former).await;
}

/// Clause 7.
pub async fn a_login_names_the_user_and_ends_the_former_session<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let former = carried(&store).await;
    fixture.pass(Duration::from_secs(30)).await;
    let session = load(&store, &former).await;
    let user = UserId::try_from("ada").expect("it is a user");
    let login = store.login(&session, &user).await;
    let login = login.expect("the former one can be ended");
    assert!(login.needs_commit());
    let record = commit(&store, &login).await;
    let read = load(&store, &record).await;
    same_values(&read, &session);
    assert_eq!((read.user_id(), session.user_id()), (Some(user), None));
    // Its life has begun anew.
    let (before, after) = (session.absolute_end(), read.absolute_end());
    assert_eq!(after.is_some(), before.is_some());
    assert!(after >= before.map(|end| end.after(Duration::from_secs(29))));
    takes_the_place_of(fixture, &read, &former).await;
}

async fn takes_the_place_of<F: CarriedFixture>(
    fixture: &F,
    session: &CarriedSession,
    former: &str,
) {
    let store = fixture.store();
    if store.capabilities().has(Promise::LogoutIsFinal) {
        let why = refused(&store, former).await;
        assert!(matches!(why, Unusable::Ended), "{why}");
        assert!(session.handle().is_some());
    } else {
        assert_eq!(session.handle(), None);
    }
}

/// Clause 8.
pub async fn errors_and_debug_show_no_values<F: CarriedFixture>(fixture: &F) {
    let store = fixture.store();
    let mut session = store.create();
    session.insert("value", SECRET).expect("it fits");
    let record = commit(&store, &session).await;
    let loaded = load(&store, &record).await;
    let why = refused(&fixture.under_another_key(), &record).await;
    session
        .insert("more", SECRET.repeat(1_000))
        .expect("it fits here");
    let error = store.commit(&session).await.expect_err("it does not fit");
    let shown = format!("{store:?} {loaded:?} {why} {why:?} {error} {error:?}");
    assert!(
        !shown.contains(SECRET) && !shown.contains(&record),
        "{shown}"
    );
}

/// A record of a session with a value.
async fn carried(store: &impl CarriedStore) -> String {
    let mut session = store.create();
    session.insert("value", "tea").expect("it fits");
    commit(store, &session).await
}

async fn commit(store: &impl CarriedStore, session: &CarriedSession) -> String {
    let committed = store.commit(session).await;
    committed.expect("it can be carried")
}

async fn load(store: &impl CarriedStore, record: &str) -> CarriedSession {
    let loaded = store.load(record).await;
    loaded.expect("it can be used")
}

async fn refused(store: &impl CarriedStore, record: &str) -> Unusable {
    match store.load(record).await {
        Err(LoadCarriedError::Unusable(why)) => why,
        Err(fault) => panic!("{fault}"),
        Ok(_) => panic!("{record} was used"),
    }
}

fn same_values(one: &SessionData, other: &SessionData) {
    let all = |data: &SessionData| -> Vec<_> {
        let names = data.keys();
        names
            .map(|name| (name.to_owned(), data.get_raw(name).cloned()))
            .collect()
    };
    assert_eq!(all(one), all(other));
}
