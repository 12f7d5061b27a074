//! The race lab: many requests at one cart, all at once.

mod outcome; // what came of it
mod plan; // how many, and how
mod race; // one run

use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;

use self::race::{RaceError, race};
pub(crate) use self::{
    outcome::{Outcome, Shot},
    plan::{Choice, Plan},
};
use crate::cart::Mode;

/// Sends requests to the API of this server: through all layers, only the network is left out.
#[derive(Clone)]
pub(crate) struct Lab {
    api: Router,
    /// Two races at once would only show each other's waiting.
    turn: Arc<Semaphore>,
}

impl Lab {
    pub(crate) fn new(api: Router) -> Self {
        Self {
            api,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// One run for each mode.
    pub(crate) async fn run(&self, plan: &Plan) -> Result<Vec<(Mode, Outcome)>, RaceError> {
        let _turn = self.turn.acquire().await;
        let mut outcomes = Vec::new();
        for &mode in plan.modes() {
            outcomes.push((mode, race(&self.api, plan, mode).await?));
        }
        Ok(outcomes)
    }
}
