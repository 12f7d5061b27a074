use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::Result;

/// Does all of these at the same time; the first failure ends them all.
pub(crate) async fn all<T, F>(works: Vec<F>) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = works.into_iter().collect();
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        done.push(result??);
    }
    Ok(done)
}

/// For no time: does not even yield.
pub(crate) async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
