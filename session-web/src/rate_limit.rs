use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use session_core::{Allowance, CountedName, Limit, StoreError, UseCounter};
use tower_layer::Layer;
use tower_service::Service;

use crate::{ClientAddress, SessionError, answer::replaced, measure};

/// Lets each client through so many times in a window, in all replicas together; then 429 with `Retry-After`. For any route
/// that costs or tempts: sign-up, password reset, search.
///
/// ```
/// # use std::{net::{IpAddr, Ipv4Addr}, time::Duration};
/// # use axum::{Router, routing::post};
/// # use session_core::{Limit, MemoryUseCounter};
/// # use session_web::{ClientAddress, RateLimit};
/// # let counter = MemoryUseCounter::new(); // a `RedisStore` counts for all replicas
/// # let addresses = ClientAddress::new(|_| Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
/// let limit = Limit::new(3, Duration::from_secs(3600))?;
/// let app: Router = Router::new()
///     .route("/sign-up", post(async || "welcome"))
///     .route_layer(RateLimit::new("sign-up", limit, counter, addresses));
/// # Ok::<(), session_core::ConfigError>(())
/// ```
///
/// A request counts whatever its answer is. When the counter fails, requests pass, unless it
/// [fails closed](Self::fail_closed).
#[derive(Clone, Debug)]
#[must_use]
pub struct RateLimit {
    kind: Arc<str>,
    limit: Limit,
    counter: Arc<dyn UseCounter>,
    addresses: ClientAddress,
    fails_closed: bool,
}

impl RateLimit {
    /// `limit` for each client, counted by `counter` apart from limits of other names.
    pub fn new(
        name: &str,
        limit: Limit,
        counter: impl UseCounter,
        addresses: ClientAddress,
    ) -> Self {
        Self {
            kind: format!("route {name}").into(),
            limit,
            counter: Arc::new(counter),
            addresses,
            fails_closed: false,
        }
    }

    /// When the counter fails, nobody passes: 503. Default: everybody does.
    pub const fn fail_closed(mut self) -> Self {
        self.fails_closed = true;
        self
    }

    async fn check(&self, client: &CountedName) -> Result<(), SessionError> {
        match self.counter.take(client, &self.limit).await {
            Ok(Allowance::Refused { retry_after }) => {
                measure::limit("route", "refused");
                Err(SessionError::TooMany { retry_after })
            }
            Ok(_) => {
                measure::limit("route", "granted");
                Ok(())
            }
            Err(error) => {
                measure::limit("route", "failed");
                self.without_counter(error)
            }
        }
    }

    fn without_counter(&self, error: StoreError) -> Result<(), SessionError> {
        if self.fails_closed {
            return Err(error.into());
        }
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, "requests cannot be counted, and pass");
        Ok(())
    }
}

impl<S> Layer<S> for RateLimit {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService {
            inner,
            layer: self.clone(),
        }
    }
}

/// What [`RateLimit`] makes of a service.
#[derive(Clone, Debug)]
pub struct RateLimitService<S> {
    inner: S,
    layer: RateLimit,
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for RateLimitService<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    RequestBody: Send + 'static,
    ResponseBody: From<String> + Default,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        // The service that was made ready is the one to be called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer
                .check(&layer.addresses.name(&layer.kind, &request))
                .await
            {
                Ok(()) => inner.call(request).await,
                Err(error) => Ok(replaced(Response::new(ResponseBody::default()), error)),
            }
        })
    }
}
