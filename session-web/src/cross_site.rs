use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Method, Request, Response, Uri, header};
use session_core::ConfigError;
use tower_layer::Layer;
use tower_service::Service;

use crate::{SessionError, answer::replaced};

/// Refuses requests by which another site acts in the name of a user (CSRF), with 403. `SameSite=Lax` alone lets sister hosts
/// through, and logins, for which no cookie is needed.
///
/// `GET`, `HEAD`, `OPTIONS` and `TRACE` pass: they must change nothing. Of the others, those pass that
/// - the browser says come from this origin or from the user (`Sec-Fetch-Site: same-origin`, `none`);
/// - come from an origin that is [allowed](Self::allow);
/// - come from an older browser whose `Origin` is this host;
/// - come from no browser: neither header, or `Authorization: Bearer` without a cookie.
///
/// Behind a proxy that changes `Host`, older browsers are refused; allow the public origin then. Source: ASVS 5.0, 3.5.1;
/// Fetch Metadata (W3C).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RefuseCrossSite {
    allowed: Arc<[String]>,
}

impl RefuseCrossSite {
    /// No other origin may act.
    pub fn new() -> Self {
        Self::default()
    }

    /// These origins may, too: `https://app.example.org`, `https://app.example.org:8443`.
    ///
    /// # Errors
    /// [`ConfigError`] when one is no origin as browsers write it: scheme and host in lower case, a port only if it is not
    /// the usual one, and nothing behind it.
    pub fn allow<O: Into<String>>(
        self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, ConfigError> {
        let mut allowed = self.allowed.to_vec();
        for origin in origins {
            let origin = origin.into();
            if !is_origin(&origin) {
                let found = format!("{origin:?}");
                return Err(ConfigError::new("allowed origin", found, "scheme://host"));
            }
            allowed.push(origin);
        }
        Ok(Self {
            allowed: allowed.into(),
        })
    }

    fn lets_pass<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        if is_safe(request.method()) || is_header_only(headers) {
            return true;
        }
        let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
        if origin.is_some_and(|origin| self.allowed.iter().any(|it| it.as_bytes() == origin)) {
            return true;
        }
        match (headers.get("sec-fetch-site"), origin) {
            (Some(site), _) => site == "same-origin" || site == "none",
            (None, Some(origin)) => is_this_host(origin, request),
            (None, None) => true,
        }
    }
}

const fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

/// Whether nothing in the request is sent by a browser of its own accord. (It does send `Basic`.)
fn is_header_only(headers: &HeaderMap) -> bool {
    let is_bearer = headers.get(header::AUTHORIZATION).is_some_and(|value| {
        let scheme = value.as_bytes().get(..7);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
    });
    is_bearer && !headers.contains_key(header::COOKIE)
}

fn is_this_host<B>(origin: &[u8], request: &Request<B>) -> bool {
    let Ok(origin) = Uri::try_from(origin) else {
        return false;
    };
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers().get(header::HOST).map(|it| it.as_bytes()),
    };
    match (origin.authority(), host) {
        (Some(origin), Some(host)) => origin.as_str().as_bytes().eq_ignore_ascii_case(host),
        _ => false,
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let is_host = |byte: u8| !byte.is_ascii_uppercase() && !b"/?#@\\ ".contains(&byte);
    host.parse::<http::uri::Authority>().is_ok()
        && host.bytes().all(is_host)
        && !host.ends_with(usual)
}

impl<S> Layer<S> for RefuseCrossSite {
    type Service = RefuseCrossSiteService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RefuseCrossSiteService {
            inner,
            layer: self.clone(),
        }
    }
}

/// What [`RefuseCrossSite`] makes of a service.
#[derive(Clone, Debug)]
pub struct RefuseCrossSiteService<S> {
    inner: S,
    layer: RefuseCrossSite,
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for RefuseCrossSiteService<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    ResponseBody: From<String> + Default + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if self.layer.lets_pass(&request) {
            return Box::pin(self.inner.call(request));
        }
        let nothing = Response::new(ResponseBody::default());
        Box::pin(ready(Ok(replaced(nothing, SessionError::CrossSite))))
    }
}
