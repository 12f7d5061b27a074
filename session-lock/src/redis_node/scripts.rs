//! The only place that loads the scripts of a node, and what their answers mean.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, Value};

use crate::{
    Admitted, Extension, NodeAnswer,
    link::{NOW, Routine, Script},
};

/// All scripts of a node.
#[derive(Debug)]
pub(super) struct Scripts {
    /// Without a floor, and from the clock.
    pub(super) acquire: Arc<Routine>,
    /// With all arguments.
    pub(super) acquire_above: Arc<Routine>,
    pub(super) raise_fence: Arc<Routine>,
    pub(super) extend: Arc<Routine>,
    pub(super) release: Arc<Routine>,
    pub(super) admit: Arc<Routine>,
    pub(super) verify: Script,
}

macro_rules! script {
    ($name:literal, $prelude:expr, $libraries:expr) => {
        Script::new(
            include_str!(concat!("../../lua/", $name, ".lua")),
            $prelude,
            $libraries,
        )
    };
}

impl Scripts {
    /// `prelude` stands before each script, and `fence_ttl` replaces the usual one: both only in tests.
    pub(super) fn new(prelude: &str, fence_ttl: Option<Duration>) -> Self {
        let shorter = fence_ttl.map(|ttl| {
            let ttl_ms = ttl.as_millis();
            format!(
                "local fence_ttl_ms, fence_kept_ms = {ttl_ms}, {}\n",
                ttl_ms / 2
            )
        });
        let fence_ttl = shorter.as_deref().unwrap_or(FENCE_TTL);
        let next_fence = NEXT_FENCE.replace("-- include fence_ttl\n", fence_ttl);
        let libraries = [NOW, ("fence_ttl", fence_ttl), ("next_fence", &next_fence)];
        let alone = |one| Arc::new(Routine::new(one, None));
        let shared = |one, many| Arc::new(Routine::new(one, Some(many)));
        Self {
            acquire: shared(
                script!("acquire", prelude, &libraries),
                script!("acquires", prelude, &libraries),
            ),
            acquire_above: alone(script!("acquire", prelude, &libraries)),
            raise_fence: alone(script!("raise_fence", prelude, &libraries)),
            extend: alone(script!("extend", prelude, &libraries)),
            release: shared(
                script!("release", prelude, &libraries),
                script!("releases", prelude, &libraries),
            ),
            admit: alone(script!("admit", prelude, &libraries)),
            verify: script!("verify", prelude, &libraries),
        }
    }

    /// Adds the loading of all scripts that are called by their hash to a pipeline.
    pub(super) fn load(&self, pipeline: &mut Pipeline) {
        for routine in [
            &self.acquire,
            &self.raise_fence,
            &self.extend,
            &self.release,
            &self.admit,
        ] {
            routine.load(pipeline);
        }
    }
}

const FENCE_TTL: &str = include_str!("../../lua/lib/fence_ttl.lua");
const NEXT_FENCE: &str = include_str!("../../lua/lib/next_fence.lua");

/// What `acquire` answered.
pub(super) enum Acquired {
    Answer(NodeAnswer),
    BeyondMax,
}

/// What `acquire` and `acquires` say. `None`: not understood.
pub(super) fn acquired(answer: &Value) -> Option<Acquired> {
    let fence = match (answer, shared(answer)) {
        (Value::Int(fence), _) | (_, Some((1, fence))) => Some(*fence),
        _ => None,
    };
    let answer = match (fence, pair(answer)) {
        (Some(fence), _) => NodeAnswer::Granted {
            fence: u64::try_from(fence).ok()?,
        },
        (_, Some((0, left_ms))) => NodeAnswer::Held {
            left: u64::try_from(left_ms).ok().map(Duration::from_millis),
        },
        (_, Some((-1, _))) => NodeAnswer::NotAdmitted,
        (_, Some((-2, _))) => NodeAnswer::WrongType,
        (_, Some((-3, _))) => return Some(Acquired::BeyondMax),
        _ => return None,
    };
    Some(Acquired::Answer(answer))
}

/// What `extend` says. `None`: not understood.
pub(super) fn extended(answer: &Value) -> Option<Extension> {
    match answer {
        Value::Int(1) => Some(Extension::Extended),
        Value::Int(0) => Some(Extension::Stolen),
        Value::Int(-1) => Some(Extension::Gone),
        _ => None,
    }
}

/// What `raise_fence`, `release` and `releases` say: whether they did it. `None`: not understood.
pub(super) fn was_done(answer: &Value) -> Option<bool> {
    match (answer, shared(answer)) {
        (Value::Int(1), _) | (_, Some((1, _))) => Some(true),
        (Value::Int(0), _) | (_, Some((-1, _))) => Some(false),
        _ => None,
    }
}

/// What `admit` says. `None`: not understood.
pub(super) fn admitted(answer: &Value) -> Option<Admitted> {
    let Value::Array(parts) = answer else {
        return None;
    };
    match parts[..] {
        [Value::Int(1), _, _] => Some(Admitted::Yes),
        [Value::Int(0), Value::Int(left_ms), Value::Int(wait)] => Some(Admitted::In {
            left: Duration::from_millis(u64::try_from(left_ms).ok()?),
            wait: u64::try_from(wait).ok()?,
        }),
        _ => None,
    }
}

/// The part of an answer to many that is one caller's: code and extra.
fn shared(answer: &Value) -> Option<(i64, &i64)> {
    match answer {
        Value::Array(parts) => match &parts[..] {
            [Value::Int(code), Value::Int(_now), Value::Int(extra)] => Some((*code, extra)),
            _ => None,
        },
        _ => None,
    }
}

fn pair(answer: &Value) -> Option<(i64, i64)> {
    match answer {
        Value::Array(parts) => match parts[..] {
            [Value::Int(code), Value::Int(extra)] => Some((code, extra)),
            _ => None,
        },
        _ => None,
    }
}
