use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use session_cookie::{
    EncryptedCookie, FernetKey, FernetKeys, SignedCookie, SigningKey, SigningKeys,
};
use session_core::{
    CarriedStore, Fault, LoadCarriedError, MemoryRevocationList, RevocationList, SessionHandle,
    StoreError, Unusable,
};
use session_testkit::FakeClock;

use crate::fixtures::{NAME, options, timeouts};

/// A list that cannot be asked.
#[derive(Debug)]
struct Down;

#[async_trait]
impl RevocationList for Down {
    async fn revoke(&self, _session: &SessionHandle, _keep: Duration) -> Result<(), StoreError> {
        Err(StoreError::new(
            "note an ended session",
            "a list",
            Fault::TimedOut(Duration::from_secs(1)),
        ))
    }

    async fn is_revoked(&self, _session: &SessionHandle) -> Result<bool, StoreError> {
        Err(StoreError::new(
            "look for an ended session",
            "a list",
            Fault::TimedOut(Duration::from_secs(1)),
        ))
    }
}

#[tokio::test]
async fn a_list_that_is_down_is_a_fault_and_no_new_session() {
    let clock = FakeClock::new();
    let keys = FernetKeys::new(&FernetKey::generate());
    let store = EncryptedCookie::fernet(keys, options(&clock).revocation_list(Down));
    let session = store.create();
    let record = store.commit(&session).await.unwrap();
    let error = store.load(&record).await.unwrap_err();
    assert!(matches!(error, LoadCarriedError::Store(_)) && error.is_retryable());
    assert!(store.open(Some(&record)).await.is_err());
    assert!(store.destroy(&session).await.is_err());
    // Whoever sends nothing that is authentic makes nobody ask.
    assert!(store.open(Some("AAAA")).await.unwrap().unusable().is_some());
}

#[tokio::test]
async fn a_session_that_was_begun_without_a_list_can_be_ended_with_all_its_versions() {
    let clock = FakeClock::new();
    let keys = FernetKeys::new(&FernetKey::generate());
    let before = EncryptedCookie::fernet(keys.clone(), options(&clock));
    let first = before.commit(&before.create()).await.unwrap();

    let list = MemoryRevocationList::with_clock(Arc::new(clock.clone()));
    let store = EncryptedCookie::fernet(keys, options(&clock).revocation_list(list));
    let loaded = store.load(&first).await.unwrap();
    assert!(loaded.needs_commit());
    let second = store.commit(&loaded).await.unwrap();
    let loaded = store.load(&second).await.unwrap();
    store.destroy(&loaded).await.unwrap();
    for record in [first, second] {
        let refused = store.load(&record).await;
        assert!(
            matches!(refused, Err(LoadCarriedError::Unusable(Unusable::Ended))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn with_a_list_a_token_that_never_ends_is_refused() {
    let keys = SigningKeys::new(&SigningKey::generate());
    let endless = SignedCookie::without_expiry(keys.clone(), NAME).unwrap();
    let record = endless.commit(&endless.create()).await.unwrap();
    let clock = FakeClock::new();
    let list = MemoryRevocationList::new();
    let store = SignedCookie::new(keys, options(&clock).revocation_list(list));
    let refused = store.load(&record).await;
    assert!(
        matches!(refused, Err(LoadCarriedError::Unusable(Unusable::Endless))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_list_forgets_what_has_ended_by_itself() {
    let clock = FakeClock::new();
    let list = MemoryRevocationList::with_clock(Arc::new(clock.clone()));
    let keys = FernetKeys::new(&FernetKey::generate());
    let store = EncryptedCookie::fernet(keys, options(&clock).revocation_list(list.clone()));
    for _ in 0..10 {
        store.destroy(&store.create()).await.unwrap();
    }
    assert_eq!(list.len(), 10);
    clock.advance(timeouts().absolute() + Duration::from_secs(120));
    store.destroy(&store.create()).await.unwrap();
    assert_eq!(list.len(), 1);
}

#[tokio::test]
async fn a_longer_time_in_the_list_is_never_cut_short() {
    let clock = FakeClock::new();
    let list = MemoryRevocationList::with_clock(Arc::new(clock.clone()));
    let session = SessionHandle::random();
    let minutes = |n: u64| Duration::from_secs(60 * n);
    list.revoke(&session, minutes(10)).await.unwrap();
    list.revoke(&session, minutes(1)).await.unwrap();
    clock.advance(minutes(5));
    assert!(list.is_revoked(&session).await.unwrap());
    list.revoke(&session, minutes(10)).await.unwrap();
    clock.advance(minutes(9));
    list.revoke(&SessionHandle::random(), minutes(1))
        .await
        .unwrap();
    assert!(list.is_revoked(&session).await.unwrap());
    assert!(!list.is_revoked(&SessionHandle::random()).await.unwrap());
    clock.advance(minutes(2));
    assert!(!list.is_revoked(&session).await.unwrap());
}
