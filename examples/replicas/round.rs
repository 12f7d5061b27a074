use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use shop::BoxError;
use tokio::task::JoinSet;

use crate::{client::Client, proxy::SERVED_BY};

/// How the cart is changed, as the API calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Locked,
    Unlocked,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Round {
    /// Requests that were told that it is done.
    pub(crate) done: u64,
    /// Those that were told that it is not.
    pub(crate) refused: u64,
    /// What the cart has more than before.
    pub(crate) stored: u64,
    pub(crate) waits_ms: Vec<u64>,
    /// Requests by the server that answered them.
    pub(crate) by_server: BTreeMap<String, u64>,
}

/// Sends so many requests at once, each of which adds one to the cart.
pub(crate) async fn round(client: &Client, mode: Mode, number: u32) -> Result<Round, BoxError> {
    let before = count(client).await?;
    let mut requests = JoinSet::new();
    for _ in 0..number {
        let client = client.clone();
        let order = json!({ "item": ITEM, "hold_ms": 1, "mode": mode.name() });
        requests.spawn(async move { client.ask(Method::POST, "/api/cart", &order).await });
    }
    let mut round = Round::default();
    while let Some(answer) = requests.join_next().await {
        let answer = answer??;
        let server = answer
            .headers
            .get(SERVED_BY)
            .and_then(|it| it.to_str().ok());
        *round
            .by_server
            .entry(server.unwrap_or("?").to_owned())
            .or_default() += 1;
        if answer.status.is_success() {
            round.done += 1;
            round.waits_ms.extend(answer.json["waited_ms"].as_u64());
        } else {
            round.refused += 1;
        }
    }
    round.waits_ms.sort_unstable();
    round.stored = count(client).await?.saturating_sub(before);
    Ok(round)
}

const ITEM: &str = "tea";

async fn count(client: &Client) -> Result<u64, BoxError> {
    let cart = client.fine(Method::GET, "/api/cart", &Value::Null).await?;
    Ok(cart.json["items"][ITEM].as_u64().unwrap_or(0))
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
        }
    }
}

impl Round {
    pub(crate) const fn lost(&self) -> u64 {
        self.done.saturating_sub(self.stored)
    }

    pub(crate) fn median_ms(&self) -> u64 {
        let middle = self.waits_ms.get(self.waits_ms.len() / 2);
        middle.copied().unwrap_or(0)
    }

    pub(crate) fn longest_ms(&self) -> u64 {
        self.waits_ms.last().copied().unwrap_or(0)
    }
}
