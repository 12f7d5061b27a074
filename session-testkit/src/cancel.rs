use std::{future::Future, pin::pin, task::Poll};

/// Polls `future` at most `polls` times, and drops it where it stands then. `None`: it was dropped unfinished.
///
/// With `polls` from zero up until it finishes, a test drops a future at every await that it ever waits at.
pub async fn cancel_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_future_is_dropped_at_each_of_its_awaits() {
        for (polls, steps_done) in [(0, 0), (1, 1), (2, 2), (3, 3)] {
            let mut steps = 0;
            let finished = cancel_after(polls, async {
                steps += 1;
                yield_now().await;
                steps += 1;
                yield_now().await;
                steps += 1;
            })
            .await;
            assert_eq!((finished.is_some(), steps), (polls == 3, steps_done));
        }
    }
}
