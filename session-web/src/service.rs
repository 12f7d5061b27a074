use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use crate::{ResponseFuture, Session, layer::Config, request::RequestSession};

/// What [`SessionLayer`](crate::SessionLayer) makes of a service.
pub struct SessionService<S, K> {
    inner: S,
    config: Arc<Config>,
    kind: PhantomData<fn() -> K>,
}

impl<S, K> SessionService<S, K> {
    pub(crate) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self {
            inner,
            config,
            kind: PhantomData,
        }
    }
}

impl<S, K, RequestBody, ResponseBody> Service<Request<RequestBody>> for SessionService<S, K>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    K: 'static,
    ResponseBody: From<String> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResponseBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let incoming = self.config.transport.read(&request, &self.config.spelling);
        let client = self
            .config
            .unknown
            .as_ref()
            .map(|limit| limit.client(&request));
        let session = RequestSession::new(Arc::clone(&self.config), incoming, client);
        let session = Arc::new(session);
        let handle = Session::<K>::new(Arc::clone(&session));
        request.extensions_mut().insert(handle);
        ResponseFuture::new(self.inner.call(request), session)
    }
}

impl<S: Clone, K> Clone for SessionService<S, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.config))
    }
}

impl<S: fmt::Debug, K> fmt::Debug for SessionService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}
