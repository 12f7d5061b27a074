use session_core::{AcquireError, ReadError, RecordKind, Stored};

use super::*;

/// Clause 12: however many IDs a session is given in a short time, each alias points to the session itself.
pub async fn every_old_id_is_one_alias_away_from_the_session<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let mut ids = vec![stored(&sessions, 1).await];
    for number in 2..=9 {
        let newest = regenerated(&sessions, ids.last().expect("there is one")).await;
        add_one(&sessions, &newest).await;
        let mut aliases = Vec::new();
        for old in &ids {
            assert_eq!(value(&sessions, old).await, Some(number));
            let refused = sessions.lock(old).await;
            assert!(matches!(refused, Err(AcquireError::Rotated)), "{refused:?}");
            aliases.push(alias(fixture, old).await);
        }
        // Sealed, two bodies are never the same.
        if !F::SEALED {
            for alias in &aliases {
                assert_eq!(alias.body, aliases[0].body, "they name different sessions");
            }
        }
        ids.push(newest);
    }
    sessions.destroy(&ids[0]).await.expect("it can be ended");
    for id in &ids {
        assert_eq!(value(&sessions, id).await, None);
    }
}

/// A further ID does not prolong the grace of those before it.
pub async fn an_old_id_keeps_the_end_of_its_own_grace<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let first = stored(&sessions, 1).await;
    let second = regenerated(&sessions, &first).await;
    let mut left = alias(fixture, &first).await.time_to_live;
    let mut newest = second.clone();
    for _ in 0..3 {
        fixture.pass(ms(100)).await;
        newest = regenerated(&sessions, &newest).await;
        let now_left = alias(fixture, &first).await.time_to_live;
        assert!(now_left < left, "{now_left:?} are left of {left:?}");
        left = now_left;
    }
    assert!(alias(fixture, &second).await.time_to_live > left);
}

/// A session has only so many aliases. The oldest one gives way, and leads nobody astray.
pub async fn one_old_id_too_many_is_nothing_at_once<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let mut ids = vec![stored(&sessions, 1).await];
    for last in 0..10 {
        ids.push(regenerated(&sessions, &ids[last]).await);
    }
    for (number, id) in ids.iter().enumerate() {
        let seen = value(&sessions, id).await;
        assert_eq!(seen, (number >= 2).then_some(1), "ID {number}");
    }
    sessions.destroy(&ids[0]).await.expect("it names nothing");
    assert_eq!(value(&sessions, &ids[10]).await, Some(1));

    // A session that is full has no room to remember any.
    let limited = builder(fixture).max_record(64).build();
    let limited = limited.expect("the settings are valid");
    let mut full = limited.create();
    full.insert("pad", "x".repeat(40)).expect("there is room");
    let old = full.id().clone();
    full.commit().await.expect("a new session is stored");
    let new = regenerated(&limited, &old).await;
    let read = |id| limited.snapshot(id);
    let gone = read(&old).await.expect("nothing can be read");
    assert!(gone.is_none());
    let lives = read(&new).await.expect("it can be read");
    assert!(lives.is_some());
}

/// What stands no more under an earlier ID stays so, whatever the session remembers.
pub async fn an_old_id_that_is_over_is_not_brought_back<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let (short, long) = (graced(fixture, 100), sessions(fixture));
    let first = stored(&long, 1).await;
    let second = regenerated(&short, &first).await;
    fixture.pass(ms(300)).await;
    let third = regenerated(&long, &second).await;
    assert_eq!(value(&long, &first).await, None);
    nothing_stands(fixture, &first).await;
    assert_eq!(value(&long, &second).await, Some(1));
    assert_eq!(value(&long, &third).await, Some(1));
}

/// Clause 11: an alias that was planted in the place of a session is followed nowhere.
pub async fn an_alias_of_an_alias_is_an_error_and_is_left_as_it_is<F: PrimaryFixture>(fixture: &F) {
    if !can_rotate(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    let old = stored(&sessions, 1).await;
    let target = regenerated(&sessions, &old).await;
    let another = stored(&sessions, 2).await;
    regenerated(&sessions, &another).await;
    let planted = alias(fixture, &another).await;
    let mut bytes = Vec::new();
    planted.header.encode(&mut bytes);
    bytes.extend_from_slice(&planted.body);
    if !fixture.plant(target.key(), &bytes).await {
        return;
    }
    let refused = sessions.snapshot(&old).await;
    assert!(matches!(refused, Err(ReadError::Record(_))), "{refused:?}");
    assert_eq!(alias(fixture, &target).await.body, planted.body);
}

/// What stands under an ID that the session had before.
async fn alias<F: PrimaryFixture>(fixture: &F, id: &SessionId) -> Stored {
    let alias = record(&fixture.store(), id.key()).await;
    assert_eq!(alias.header.kind, RecordKind::Alias);
    alias
}
