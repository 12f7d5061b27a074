use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use shuttle::rand::{Rng as _, thread_rng};

/// A number below this one.
pub(super) fn below(many: u32) -> u32 {
    thread_rng().gen_range(0..many)
}

/// One of these.
pub(super) fn one_of<T>(all: &[T]) -> &T {
    &all[thread_rng().gen_range(0..all.len())]
}

/// How far the clock goes in one step.
pub(super) fn tick() -> Duration {
    Duration::from_micros(*one_of(&[1, 50, 400, 1_500]))
}

/// What `future` comes to, unless it is dropped first: at one of its awaits, if there are so many. `None`: never.
pub(super) async fn perhaps_cancelled<T>(
    future: impl Future<Output = T>,
    awaits: Option<u32>,
) -> Option<T> {
    let future = Box::pin(future);
    Cancelled { future, awaits }.await
}

struct Cancelled<F> {
    future: Pin<Box<F>>,
    awaits: Option<u32>,
}

impl<F: Future> Future for Cancelled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.awaits == Some(0) {
            return Poll::Ready(None);
        }
        let polled = self.future.as_mut().poll(context).map(Some);
        if let (Poll::Pending, Some(awaits)) = (&polled, &mut self.awaits) {
            *awaits -= 1;
            if *awaits == 0 {
                context.waker().wake_by_ref();
            }
        }
        polled
    }
}
