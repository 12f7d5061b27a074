use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use session_core::Snapshot;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    DefaultSession, Session, SessionError, answer::replaced, devices::with_user, error::NO_STORE,
    next, reply::wants_page,
};

/// Lets only those through who are logged in. Stands inside of the [`SessionLayer`](crate::SessionLayer).
///
/// Others get 401, and pages (`Accept: text/html`) a redirect to the login if there is one, with the way back in `next`.
/// What is answered to those who pass is not to be stored by caches, nor shown after a logout when the user goes back, unless
/// the handler sets `Cache-Control` itself. Whether somebody is logged in is asked of the store, also where that caches
/// reads ([`accept_cached`](Self::accept_cached)). `OPTIONS` passes, because browsers send it without cookies. When the store fails,
/// nobody passes. Put it around the whole router: inside of a nested one, paths have lost their beginning. Answer otherwise:
/// [`SessionLayer::on_error`](crate::SessionLayer::on_error).
///
/// ```
/// # use session_web::LoginRequired;
/// # #[derive(serde::Deserialize)] struct User { is_admin: bool }
/// let layer: LoginRequired = LoginRequired::new()
///     .redirect_to("/login")
///     .exclude(["/login", "/static/*"])
///     .require(async |user: User| user.is_admin);
/// ```
#[must_use]
pub struct LoginRequired<K = DefaultSession> {
    rules: Arc<Rules>,
    kind: PhantomData<fn() -> K>,
}

#[derive(Clone, Default)]
struct Rules {
    login: Option<String>,
    excluded: Vec<String>,
    lets_anonymous_pass: bool,
    accepts_cached: bool,
    requirements: Vec<Requirement>,
}

type Requirement = Arc<dyn Fn(Snapshot) -> Checked + Send + Sync>;
type Checked = Pin<Box<dyn Future<Output = Result<bool, SessionError>> + Send>>;

impl<K> LoginRequired<K> {
    /// Whoever is logged in passes.
    pub fn new() -> Self {
        Self {
            rules: Arc::default(),
            kind: PhantomData,
        }
    }

    /// Sends pages to the login at that path, which passes itself. Default: 401 for all.
    pub fn redirect_to(self, path: impl Into<String>) -> Self {
        self.change(|rules| rules.login = Some(path.into()))
    }

    /// Lets requests to these paths pass; one that ends with `*` stands for all that begin so. Compared as they are sent,
    /// before any decoding.
    pub fn exclude<P: Into<String>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let paths = paths.into_iter().map(Into::into);
        self.change(|rules| rules.excluded.extend(paths))
    }

    /// Lets requests without a user pass, too. Users have still to meet what is [required](Self::require).
    pub fn allow_unauthenticated(self) -> Self {
        self.change(|rules| rules.lets_anonymous_pass = true)
    }

    /// Decides by what the store has in its cache, if it caches reads: no flight, and who has logged out or was disabled
    /// passes for as long as the bound of that cache. Default: not.
    pub fn accept_cached(self) -> Self {
        self.change(|rules| rules.accepts_cached = true)
    }

    /// Lets only those users through for whom this is true; others get 403. All requirements have to be met.
    pub fn require<U, F>(self, check: impl Fn(U) -> F + Send + Sync + 'static) -> Self
    where
        U: DeserializeOwned,
        F: Future<Output = bool> + Send + 'static,
    {
        let requirement = move |session: Snapshot| -> Checked {
            match session.user() {
                Ok(Some(user)) => {
                    let met = check(user);
                    Box::pin(async { Ok(met.await) })
                }
                Ok(None) => Box::pin(async { Ok(false) }),
                Err(error) => Box::pin(async { Err(error.into()) }),
            }
        };
        self.change(|rules| rules.requirements.push(Arc::new(requirement)))
    }

    fn change(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl Rules {
    fn applies_to<B>(&self, request: &Request<B>) -> bool {
        let path = request.uri().path();
        let is_excluded = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == pattern,
        };
        let is_login = self.login.as_deref() == Some(path);
        request.method() != Method::OPTIONS && !is_login && !self.excluded.iter().any(is_excluded)
    }

    async fn check<K>(&self, session: Option<Session<K>>) -> Result<(), SessionError> {
        let session = session.ok_or_else(SessionError::no_layer::<K>)?;
        let snapshot = session.request().read(!self.accepts_cached).await?;
        let snapshot = match with_user(snapshot) {
            Err(SessionError::NotLoggedIn) if self.lets_anonymous_pass => return Ok(()),
            logged_in => logged_in?,
        };
        for is_met in &self.requirements {
            if !is_met(snapshot.clone()).await? {
                return Err(SessionError::Forbidden);
            }
        }
        Ok(())
    }

    /// Where a page is sent whose user has to log in.
    fn login_for<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        let login = self
            .login
            .as_deref()
            .filter(|_| wants_page(request.headers()))?;
        let target = match *request.method() {
            Method::GET | Method::HEAD => request.uri().path_and_query(),
            _ => None,
        };
        let location = next::with_next(login, target.map(|target| target.as_str()));
        HeaderValue::try_from(location).ok()
    }
}

impl<S, K> Layer<S> for LoginRequired<K> {
    type Service = LoginRequiredService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        LoginRequiredService {
            inner,
            layer: self.clone(),
        }
    }
}

/// What [`LoginRequired`] makes of a service.
#[derive(Debug)]
pub struct LoginRequiredService<S, K = DefaultSession> {
    inner: S,
    layer: LoginRequired<K>,
}

impl<S, K, RequestBody, ResponseBody> Service<Request<RequestBody>> for LoginRequiredService<S, K>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send,
    K: 'static,
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
        let rules = Arc::clone(&self.layer.rules);
        let session = request.extensions().get::<Session<K>>().cloned();
        Box::pin(async move {
            if !rules.applies_to(&request) {
                return inner.call(request).await;
            }
            if let Err(error) = rules.check(session).await {
                let login = rules.login_for(&request);
                return Ok(refusal(error, login));
            }
            let mut answer = inner.call(request).await?;
            let headers = answer.headers_mut();
            headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
            Ok(answer)
        })
    }
}

fn refusal<B: From<String> + Default>(
    error: SessionError,
    login: Option<HeaderValue>,
) -> Response<B> {
    let mut answer = match (&error, login) {
        (SessionError::NotLoggedIn, Some(login)) => {
            let mut redirect = Response::new(B::default());
            *redirect.status_mut() = StatusCode::SEE_OTHER;
            let headers = redirect.headers_mut();
            headers.insert(header::LOCATION, login);
            headers.insert(header::CACHE_CONTROL, NO_STORE);
            redirect
        }
        _ => replaced(Response::new(B::default()), error),
    };
    let vary = HeaderValue::from_static("accept");
    answer.headers_mut().append(header::VARY, vary);
    answer
}

impl<S: Clone, K> Clone for LoginRequiredService<S, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<K> Clone for LoginRequired<K> {
    fn clone(&self) -> Self {
        Self {
            rules: Arc::clone(&self.rules),
            kind: PhantomData,
        }
    }
}

impl<K> Default for LoginRequired<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for LoginRequired<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequired")
            .field("login", &self.rules.login)
            .field("excluded", &self.rules.excluded)
            .field("requirements", &self.rules.requirements.len())
            .finish_non_exhaustive()
    }
}
