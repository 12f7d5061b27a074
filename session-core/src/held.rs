use crate::SessionKey;

tokio::task_local! {
    /// The sessions that the current task holds in the bodies it is in.
    static HELD: Vec<SessionKey>;
}

/// Runs a body in which `key` counts as held by this task.
pub(crate) async fn holding<T>(key: SessionKey, body: impl Future<Output = T>) -> T {
    HELD.scope(held_and(key), body).await
}

/// Runs a body in which `key` counts as held by this thread.
#[cfg(feature = "blocking")]
pub(crate) fn holding_here<T>(key: SessionKey, body: impl FnOnce() -> T) -> T {
    HELD.sync_scope(held_and(key), body)
}

fn held_and(key: SessionKey) -> Vec<SessionKey> {
    let mut keys = HELD.try_with(Clone::clone).unwrap_or_default();
    keys.push(key);
    keys
}

/// Whether this task is inside of a body that holds `key`: waiting for it would never end.
pub(crate) fn is_held(key: &SessionKey) -> bool {
    HELD.try_with(|held| held.contains(key)).unwrap_or(false)
}
