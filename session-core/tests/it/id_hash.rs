//! Names of sessions and users that only holders of a key can make.

use session_core::{MemoryStore, PrimaryStore as _, SealingKey, Sessions, TouchAfter, UserId};

fn sessions(store: &MemoryStore, key: &SealingKey) -> Sessions {
    let builder = Sessions::builder(store.clone()).hash_ids(key);
    builder.build().unwrap()
}

#[tokio::test]
async fn without_the_key_no_session_and_no_user_is_found() {
    let (store, key) = (MemoryStore::new(), SealingKey::generate());
    let ours = sessions(&store, &key);
    let mut guard = ours.create();
    let id = guard.login("ada", &"Ada").unwrap();
    guard.commit().await.unwrap();
    assert!(ours.snapshot(&id).await.unwrap().is_some());
    let mut guard = ours.lock(&id).await.unwrap();
    let id = guard.regenerate();
    guard.commit().await.unwrap();
    for others in [
        Sessions::new(store.clone()),
        sessions(&store, &SealingKey::generate()),
    ] {
        assert!(others.snapshot(&id).await.unwrap().is_none());
        assert!(others.lock(&id).await.is_err());
        assert_eq!(others.user("ada").unwrap().list().await.unwrap(), []);
        others.destroy(&id).await.unwrap();
    }
    let plain = store.load(id.key(), TouchAfter::Never).await.unwrap();
    assert!(plain.is_none());
    let user = UserId::try_from("ada").unwrap();
    assert!(store.list(&user.key()).await.unwrap().is_empty());
    let again = sessions(&store, &key);
    assert_eq!(again.user("ada").unwrap().list().await.unwrap().len(), 1);
    let updated = again.update(&id, |data| data.insert("n", 1)).await;
    updated.unwrap();
    let mut unlocked = again.unlocked().load(&id).await.unwrap().unwrap();
    unlocked.insert("n", 2).unwrap();
    unlocked.save().await.unwrap();
    again.destroy(&id).await.unwrap();
    assert!(again.snapshot(&id).await.unwrap().is_none());
}
