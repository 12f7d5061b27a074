use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;

use crate::{
    SessionError,
    answer::{complete, replaced},
    request::{Leftover, Parked, RequestSession},
};

pin_project! {
    /// The answer of a [`SessionService`](crate::SessionService).
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        request: Unanswered,
        committing: Option<Pin<Box<dyn Future<Output = Response<B>> + Send>>>,
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) const fn new(inner: F, request: Arc<RequestSession>) -> Self {
        Self {
            inner,
            request: Unanswered(request),
            committing: None,
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<String> + Send + 'static,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let committing = match this.committing {
            Some(committing) => committing,
            None => {
                let answer = ready!(this.inner.poll(cx))?;
                let request = &this.request.0;
                match request.close() {
                    Leftover::Parked(parked) if !is_failure(answer.status()) => {
                        let commit = commit(Arc::clone(request), *parked, answer);
                        this.committing.insert(Box::pin(commit))
                    }
                    Leftover::Held => {
                        let failed = replaced(answer, SessionError::StillLocked);
                        return Poll::Ready(Ok(complete(request, failed)));
                    }
                    Leftover::Parked(_) | Leftover::Nothing => {
                        return Poll::Ready(Ok(complete(request, answer)));
                    }
                }
            }
        };
        committing.as_mut().poll(cx).map(Ok)
    }
}

/// Whether the answer says that nothing was done.
fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

async fn commit<B: From<String>>(
    request: Arc<RequestSession>,
    parked: Parked,
    answer: Response<B>,
) -> Response<B> {
    let answer = match request.commit(parked).await {
        Ok(_) => answer,
        Err(error) => replaced(answer, error.into()),
    };
    complete(&request, answer)
}

/// Closes the session of a request that gets no answer: the client has disconnected, or the handler has panicked. A task
/// that it left behind may still have the session, which must not stay locked for that.
struct Unanswered(Arc<RequestSession>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
