//! The only place that loads the scripts of fenced keys, and what their answers mean.

use std::sync::Arc;

use redis::{Pipeline, Value};

use crate::{
    FencingToken,
    link::{Routine, Script},
};

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) accept: Arc<Routine>,
    pub(super) set: Arc<Routine>,
}

impl Scripts {
    /// `prelude` stands before each script, only in tests.
    pub(super) fn new(prelude: &str) -> Self {
        let libraries = [(
            "accept_token",
            include_str!("../../../lua/lib/accept_token.lua"),
        )];
        let routine = |text| Arc::new(Routine::new(Script::new(text, prelude, &libraries), None));
        Self {
            accept: routine(include_str!("../../../lua/fenced_accept.lua")),
            set: routine(include_str!("../../../lua/fenced_set.lua")),
        }
    }

    /// Adds the loading of all scripts to a pipeline.
    pub(super) fn load(&self, pipeline: &mut Pipeline) {
        self.accept.load(pipeline);
        self.set.load(pipeline);
    }
}

/// What the scripts say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Stale { highest: FencingToken },
    NoString,
    NoFence,
}

/// `None`: not understood.
pub(super) fn understood(answer: &Value) -> Option<Answer> {
    match answer {
        Value::Int(1) => Some(Answer::Done),
        Value::Int(-1) => Some(Answer::NoString),
        Value::Int(-2) => Some(Answer::NoFence),
        Value::Array(parts) => match &parts[..] {
            [Value::Int(0), Value::BulkString(highest)] => {
                let highest = str::from_utf8(highest).ok()?.parse().ok()?;
                let highest = FencingToken(highest);
                Some(Answer::Stale { highest })
            }
            _ => None,
        },
        _ => None,
    }
}
