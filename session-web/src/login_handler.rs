use std::{
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode, header, request};
use session_core::{CountedName, Login, LoginError, LoginTicket, Timeouts, UserId};
use tower_service::Service;

use crate::{
    Credentials, DefaultSession, LoginLimits, Session, SessionError, Stay,
    error::seconds,
    login_input::{Input, Kind},
    login_label::{Label, labelled},
    login_limits::Try,
    login_page::{self, LoginPage},
    measure, reply, safe_next,
};

/// A login that is ready to be routed to: `.route_service("/login", LoginHandler::new(users))`.
///
/// | Request | Answer |
/// |---|---|
/// | `GET` | 200, a page with a form |
/// | `POST`, right | 303 to where `next` says, if that is on this site, or to [`redirect_to`](Self::redirect_to); to JSON 200 `{"message":"logged in"}` |
/// | `POST`, wrong password or unknown user | 401, with one text |
/// | `POST` without user name or password | 422 |
/// | `POST` of what is no form and no JSON | 415; broken 400; of more than 16 KiB 413 |
/// | other methods | 405 |
/// | too many have failed ([`limits`](Self::limits)) | 429, `Retry-After` |
/// | the check fails | 503 |
///
/// Forms and JSON have `username`, `password` and perhaps `next` and `remember` (if users [may](Self::remember) be
/// remembered). The session gets a new ID; one that was logged in before is
/// ended. How often a client may try is limited only with [`limits`](Self::limits).
pub struct LoginHandler<C, K = DefaultSession> {
    credentials: C,
    redirect_to: Arc<str>,
    page: PageOf,
    limits: Option<LoginLimits>,
    remember: Option<Timeouts>,
    labels: Vec<Label>,
    kind: PhantomData<fn() -> K>,
}

type PageOf = Arc<dyn Fn(LoginPage<'_>) -> String + Send + Sync>;

impl<C> LoginHandler<C> {
    /// Users are checked by `credentials`.
    pub fn new(credentials: C) -> Self {
        Self {
            credentials,
            redirect_to: "/".into(),
            page: Arc::new(|page| login_page::plain(&page)),
            limits: None,
            remember: None,
            labels: Vec::new(),
            kind: PhantomData,
        }
    }
}

impl<C: Credentials, K: 'static> LoginHandler<C, K> {
    /// Where to go on after a login that does not say where. Default: `/`.
    pub fn redirect_to(mut self, path: &str) -> Self {
        self.redirect_to = path.into();
        self
    }

    /// Another page, as HTML. What stands in [`LoginPage`] comes from the client: escape it.
    pub fn page(mut self, page: impl Fn(LoginPage<'_>) -> String + Send + Sync + 'static) -> Self {
        self.page = Arc::new(page);
        self
    }

    /// Remembers users who ask for it (`remember=on` in a form, `"remember": true` in JSON), by a persistent cookie and
    /// with these timeouts. Default: nobody is remembered.
    pub const fn remember(mut self, timeouts: Timeouts) -> Self {
        self.remember = Some(timeouts);
        self
    }

    /// Labels the session of each login, so that users know it in the list of their [devices](crate::Devices): with what
    /// `text` makes of the request, if anything. Can be called again for another label. Default: none, because labels stand in
    /// the store as they are, also where records are sealed.
    ///
    /// Control characters are left out, and what is longer than 100 characters is cut. It remains what a client says of
    /// itself: escape it, and decide nothing by it. Source: ASVS 5.0, 7.5.2.
    ///
    /// ```
    /// # use session_web::{Credentials, LoginHandler};
    /// # fn with_labels<C: Credentials>(login: LoginHandler<C>) -> LoginHandler<C> {
    /// login.label("browser", |request| {
    ///     let agent = request.headers.get("user-agent")?;
    ///     Some(agent.to_str().ok()?.to_owned())
    /// })
    /// # }
    /// ```
    pub fn label(
        mut self,
        name: &'static str,
        text: impl Fn(&request::Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.labels.push(Label::new(name, text));
        self
    }

    /// Limits how often logins may fail. Default: not.
    pub fn limits(mut self, limits: LoginLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Logs in to the session of that kind.
    pub fn kind<Kind>(self) -> LoginHandler<C, Kind> {
        LoginHandler {
            credentials: self.credentials,
            redirect_to: self.redirect_to,
            page: self.page,
            limits: self.limits,
            remember: self.remember,
            labels: self.labels,
            kind: PhantomData,
        }
    }

    async fn answer(self, request: Request<Body>) -> Response {
        match *request.method() {
            Method::GET | Method::HEAD => {
                let next = login_page::next_in(request.uri());
                self.show(StatusCode::OK, None, "", next.as_deref())
            }
            Method::POST => {
                let answered = self.post(request).await;
                answered.unwrap_or_else(IntoResponse::into_response)
            }
            _ => reply::not_allowed("GET, HEAD, POST"),
        }
    }

    async fn post(&self, request: Request<Body>) -> Result<Response, SessionError> {
        let session = request.extensions().get::<Session<K>>().cloned();
        let session = session.ok_or_else(SessionError::no_layer::<K>)?;
        let client = self.limits.as_ref().map(|limits| limits.client(&request));
        let (parts, body) = request.into_parts();
        let labels = self.labels.iter().filter_map(|label| label.of(&parts));
        let labels = labels.collect();
        let request = Request::from_parts(parts, body);
        let (kind, input) = match Input::read(request).await {
            Ok(read) => read,
            Err(status) => return Ok(reply::text(status, "The login cannot be read.\n")),
        };
        let (username, password) = (&*input.username, &*input.password);
        if username.is_empty() || password.is_empty() {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(self.refuse(kind, status, MISSING, &input));
        }
        if let Some(answer) = self.credentials.pre_login(username).await {
            return Ok(answer);
        }
        // Whatever ends this early is no success and no refusal.
        let mut told = Outcome("failed");
        let tried = match self.begin(client, username).await? {
            Ok(tried) => tried,
            Err(retry_after) => {
                told.0 = "limited";
                return Ok(self.refuse_more(kind, retry_after, &input));
            }
        };
        let user = match self.check(&session, username, password).await {
            Ok(user) => user,
            Err(failed) => {
                came_to_nothing(tried).await;
                return match failed {
                    Failed::Session(error) => Err(error),
                    Failed::Check => {
                        let status = StatusCode::SERVICE_UNAVAILABLE;
                        Ok(self.refuse(kind, status, LATER, &input))
                    }
                };
            }
        };
        let Some((login, user)) = user else {
            told.0 = "refused";
            if let Some(answer) = self.credentials.login_failure(username).await {
                return Ok(answer);
            }
            return Ok(self.refuse(kind, StatusCode::UNAUTHORIZED, WRONG, &input));
        };
        let stay = match self.remember.filter(|_| input.remember.0) {
            Some(timeouts) => Stay::Remembered(timeouts),
            None => Stay::WithBrowser,
        };
        let login = labelled(login, labels);
        if let Err(error) = session.login(login, &user, stay).await {
            came_to_nothing(tried).await;
            return Err(error);
        }
        told.0 = "succeeded";
        if let Some(tried) = tried {
            tried.succeeded().await;
        }
        if let Some(answer) = self.credentials.login_success(&user).await {
            return Ok(answer);
        }
        Ok(match kind {
            Kind::Json => reply::message(StatusCode::OK, "logged in"),
            Kind::Form => {
                let next = input.next.as_deref().and_then(safe_next);
                reply::see_other(next.unwrap_or(&self.redirect_to))
            }
        })
    }

    /// The login that is to be stored; `None` if it is refused. The password is looked at in any case, so that the time does
    /// not tell why.
    async fn check(
        &self,
        session: &Session<K>,
        username: &str,
        password: &str,
    ) -> Result<Option<(Login, C::User)>, Failed> {
        let id = self.credentials.user_id(username).await.map_err(failed)?;
        let ticket = match &id {
            Some(id) => ticket(session, id).await?,
            None => None,
        };
        let user = self.credentials.check(username, password).await;
        let (Some(id), Some(ticket), Some(user)) = (id, ticket, user.map_err(failed)?) else {
            return Ok(None);
        };
        let login = Login::new(id).map_err(|error| Failed::Session(error.into()))?;
        Ok(Some((login.ticket(ticket), user)))
    }

    /// The right to one try, if tries are limited; else when to come again.
    async fn begin(
        &self,
        client: Option<CountedName>,
        username: &str,
    ) -> Result<Result<Option<Try<'_>>, Duration>, SessionError> {
        let (Some(limits), Some(client)) = (&self.limits, client) else {
            return Ok(Ok(None));
        };
        let account = self.credentials.account(username);
        Ok(limits.begin(client, &account).await?.map(Some))
    }

    fn refuse_more(&self, kind: Kind, retry_after: Duration, input: &Input) -> Response {
        let mut answer = self.refuse(kind, StatusCode::TOO_MANY_REQUESTS, TOO_MANY, input);
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds(retry_after));
        answer
    }

    fn refuse(&self, kind: Kind, status: StatusCode, text: &str, input: &Input) -> Response {
        match kind {
            Kind::Json => reply::message(status, text),
            Kind::Form => self.show(status, Some(text), &input.username, input.next.as_deref()),
        }
    }

    fn show(
        &self,
        status: StatusCode,
        error: Option<&str>,
        username: &str,
        next: Option<&str>,
    ) -> Response {
        let page = LoginPage {
            error,
            username,
            next: next.and_then(safe_next),
            can_remember: self.remember.is_some(),
        };
        reply::page(status, (self.page)(page))
    }
}

/// What a try has come to, told when it ends.
struct Outcome(&'static str);

impl Drop for Outcome {
    fn drop(&mut self) {
        measure::login(self.0);
    }
}

async fn came_to_nothing(tried: Option<Try<'_>>) {
    if let Some(tried) = tried {
        tried.came_to_nothing().await;
    }
}

/// `None` for a user who is disabled.
async fn ticket<K>(session: &Session<K>, id: &UserId) -> Result<Option<LoginTicket>, Failed> {
    match session.sessions().begin_login(id).await {
        Ok(ticket) => Ok(Some(ticket)),
        Err(LoginError::Disabled) => Ok(None),
        Err(error) => Err(Failed::Session(error.into())),
    }
}

enum Failed {
    Session(SessionError),
    Check,
}

fn failed(error: impl std::error::Error + 'static) -> Failed {
    let error: &(dyn std::error::Error + 'static) = &error;
    tracing::error!(error, "credentials cannot be checked");
    Failed::Check
}

const MISSING: &str = "User name and password are needed.";
const WRONG: &str = "User name or password is wrong.";
const TOO_MANY: &str = "Too many logins have failed. Please try again later.";
const LATER: &str = "Please try again in a moment.";

impl<C: Credentials, K: 'static> Service<Request<Body>> for LoginHandler<C, K> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move { Ok(handler.answer(request).await) })
    }
}

impl<C: Clone, K> Clone for LoginHandler<C, K> {
    fn clone(&self) -> Self {
        Self {
            credentials: self.credentials.clone(),
            redirect_to: Arc::clone(&self.redirect_to),
            page: Arc::clone(&self.page),
            limits: self.limits.clone(),
            remember: self.remember,
            labels: self.labels.clone(),
            kind: PhantomData,
        }
    }
}

impl<C, K> fmt::Debug for LoginHandler<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginHandler")
            .field("redirect_to", &self.redirect_to)
            .finish_non_exhaustive()
    }
}
