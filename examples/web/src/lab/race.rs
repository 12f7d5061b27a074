use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::{Outcome, Plan, Shot};
use crate::{
    cart::{Items, Mode},
    stopwatch::Stopwatch,
};

/// The run itself failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RaceError {
    #[error("the API answered {0}")]
    Refused(StatusCode),
    #[error("the API answered what cannot be read")]
    Unreadable,
    #[error("a request was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// Sends all requests at once to a cart of their own, and compares what they were told with what is stored.
pub(super) async fn race(api: &Router, plan: &Plan, mode: Mode) -> Result<Outcome, RaceError> {
    let visitor = Visitor::new(api).await?;
    let start = Stopwatch::start();
    let mut requests = JoinSet::new();
    for _ in 0..plan.requests {
        let order = json!({ "item": ITEM, "hold_ms": plan.hold_ms, "mode": mode });
        requests.spawn(visitor.clone().buy(order, start));
    }
    let mut shots = Vec::new();
    while let Some(shot) = requests.join_next().await {
        shots.extend(shot??);
    }
    shots.sort_unstable_by_key(Shot::got_cart);
    let stored = visitor.clone().count().await?;
    visitor.leave().await;
    Ok(Outcome {
        refused: plan.requests - shots.len(),
        shots,
        stored,
    })
}

const ITEM: &str = "tea";
/// Lies in the cart from the beginning, so that there is a session.
const FIRST: &str = "first";

/// A browser with a session of its own.
#[derive(Clone)]
struct Visitor {
    api: Router,
    cookie: HeaderValue,
}

#[derive(Deserialize)]
struct Cart {
    items: Items,
    #[serde(default)]
    waited_ms: u64,
}

impl Visitor {
    async fn new(api: &Router) -> Result<Self, RaceError> {
        let mut visitor = Self {
            api: api.clone(),
            cookie: HeaderValue::from_static(""),
        };
        let order = json!({ "item": FIRST });
        let answer = visitor.ask(Method::POST, "/api/cart", &order).await;
        let cookie = answer.headers().get(header::SET_COOKIE);
        let cookie = cookie.and_then(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookie = cookie.and_then(|cookie| HeaderValue::from_str(cookie).ok());
        visitor.cookie = cookie.ok_or_else(|| RaceError::Refused(answer.status()))?;
        visitor.cookie.set_sensitive(true);
        Ok(visitor)
    }

    /// `None` if it was refused.
    async fn buy(self, order: Value, start: Stopwatch) -> Result<Option<Shot>, RaceError> {
        let sent = start.elapsed();
        let answer = self.ask(Method::POST, "/api/cart", &order).await;
        let answered = start.elapsed();
        if !answer.status().is_success() {
            return Ok(None);
        }
        let cart = read(answer).await?;
        let waited = Duration::from_millis(cart.waited_ms);
        let held = Duration::from_millis(order["hold_ms"].as_u64().unwrap_or(0));
        Ok(Some(Shot {
            sent,
            waited,
            held,
            answered,
        }))
    }

    async fn count(self) -> Result<usize, RaceError> {
        let cart = read(self.ask(Method::GET, "/api/cart", &Value::Null).await).await?;
        let count = cart.items.get(ITEM).copied().unwrap_or_default();
        usize::try_from(count).map_err(|_too_many| RaceError::Unreadable)
    }

    async fn leave(self) {
        drop(self.ask(Method::POST, "/api/logout", &Value::Null).await);
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Response {
        let mut request = Request::new(Body::from(body.to_string()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("the paths of the API are paths");
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if !self.cookie.is_empty() {
            headers.insert(header::COOKIE, self.cookie.clone());
        }
        let answered: Result<Response, Infallible> = self.api.clone().oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

async fn read(answer: Response) -> Result<Cart, RaceError> {
    if !answer.status().is_success() {
        return Err(RaceError::Refused(answer.status()));
    }
    let body = to_bytes(answer.into_body(), LONGEST_ANSWER).await;
    let body = body.map_err(|_broken| RaceError::Unreadable)?;
    serde_json::from_slice(&body).map_err(|_broken| RaceError::Unreadable)
}

const LONGEST_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use latchkey::{
        MemoryStore, MemoryUseCounter, Sessions,
        web::{ClientAddress, LoginLimits},
    };

    use super::*;
    use crate::{api, lab::Choice, service::Shop, users::Users};

    #[tokio::test]
    async fn nothing_is_lost_with_the_lock_and_something_without() {
        let sessions = Sessions::new(MemoryStore::new());
        let users = Users::in_memory().await.unwrap();
        let limits = LoginLimits::new(MemoryUseCounter::new(), ClientAddress::new(|_| None));
        let api = api::routes(&Shop::new(sessions, users, limits).unwrap());
        let plan = Plan {
            requests: 20,
            hold_ms: 2,
            mode: Choice::Both,
        };
        let locked = race(&api, &plan, Mode::Locked).await.unwrap();
        assert_eq!((locked.expected(), locked.lost()), (20, 0));
        // All read before the first one writes.
        let unlocked = race(&api, &plan, Mode::Unlocked).await.unwrap();
        assert_eq!(unlocked.expected(), 20);
        assert!(unlocked.lost() > 0, "nothing was lost");
        assert_eq!(unlocked.stored + unlocked.lost(), 20);
    }
}
