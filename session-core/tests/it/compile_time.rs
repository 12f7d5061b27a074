use async_trait::async_trait;
use session_core::{
    Error, MemoryStore, Result, SessionGuard, SessionId, Sessions, Snapshot, WithError,
};
use session_lock::LossCause;

fn sessions() -> Sessions {
    Sessions::new(MemoryStore::new())
}

async fn visited(sessions: &Sessions) -> Result<SessionId> {
    let (id, ()) = sessions
        .with_new(async |session| Ok::<_, Error>(session.insert("visits", 1)?))
        .await?;
    Ok(id)
}

async fn visit(sessions: &Sessions, id: &SessionId) -> Result<u32> {
    let visits = sessions
        .with(id, async |session| {
            let visits = session.get("visits")?.unwrap_or(0) + 1;
            tokio::task::yield_now().await;
            session.insert("visits", visits)?;
            Ok::<_, Error>(visits)
        })
        .await?;
    Ok(visits)
}

#[test]
fn guards_and_snapshots_move_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<SessionGuard>();
    shared::<Snapshot>();
    shared::<Sessions>();
    shared::<WithError<Error>>();
}

#[tokio::test]
async fn scopes_and_locks_run_in_spawned_tasks() {
    let sessions = sessions();
    let id = visited(&sessions).await.unwrap();
    let scope = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move { visit(&sessions, &id).await }
    });
    assert_eq!(scope.await.unwrap().unwrap(), 2);
    let lock = tokio::spawn(async move {
        let mut session = sessions.lock(&id).await?;
        let lost = session.lost();
        session.insert("visits", 3)?;
        // The signal borrows nothing: guard and signal go separate ways.
        let watcher = tokio::spawn(lost);
        session.commit().await?;
        assert_eq!(watcher.await.unwrap(), LossCause::Released);
        sessions
            .update(&id, |data| Ok::<_, Error>(data.insert("visits", 4)?))
            .await?;
        sessions.unlocked().load(&id).await?;
        sessions.destroy(&id).await?;
        Ok::<_, Error>(())
    });
    lock.await.unwrap().unwrap();
}

#[async_trait]
trait Counter {
    async fn count(&self, id: &SessionId) -> Result<u32>;
}

#[async_trait]
impl Counter for Sessions {
    async fn count(&self, id: &SessionId) -> Result<u32> {
        let extra = 1;
        let visits = self
            .with(id, async |session| {
                let visits = session.get("visits")?.unwrap_or(0) + extra;
                session.insert("visits", visits)?;
                Ok::<u32, Error>(visits)
            })
            .await?;
        Ok(visits)
    }
}

#[tokio::test]
async fn scopes_run_in_async_trait_methods() {
    let sessions = sessions();
    let id = visited(&sessions).await.unwrap();
    let counter: Box<dyn Counter> = Box::new(sessions);
    assert_eq!(counter.count(&id).await.unwrap(), 2);
}

/// What axum asks of a handler.
async fn serve<Handler, Answer>(handler: Handler) -> Answer::Output
where
    Handler: Fn(Sessions, SessionId) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output: Send> + Send + 'static,
{
    let sessions = sessions();
    let id = visited(&sessions).await.unwrap();
    tokio::spawn(handler(sessions, id)).await.unwrap()
}

#[tokio::test]
async fn scopes_run_in_handlers_of_web_frameworks() {
    let scope = serve(|sessions, id| async move { visit(&sessions, &id).await });
    assert_eq!(scope.await.unwrap(), 2);
    let lock = serve(|sessions, id| async move {
        let mut session = sessions.lock(&id).await?;
        session.modify("visits", |visits: &mut u32| *visits += 1)?;
        Ok::<_, Error>(session.commit().await?.is_stored())
    });
    assert!(lock.await.unwrap());
    let boxed = serve(|sessions, id| async move {
        let visits = sessions.with_boxed(&id, |session| {
            Box::pin(async move { Ok::<u32, Error>(session.get("visits")?.unwrap_or(0)) })
        });
        Ok::<_, Error>(visits.await?)
    });
    assert_eq!(boxed.await.unwrap(), 1);
}
