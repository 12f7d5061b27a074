//! The scripts for shared sessions. Their answers are read as those of the others.

use std::sync::Arc;

use redis::Pipeline;
use session_lock::link::{NOW, Routine, Script};

/// All scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) load: Arc<Routine>,
    pub(super) commit: Arc<Routine>,
    pub(super) update: Arc<Routine>,
    pub(super) create: Arc<Routine>,
    pub(super) destroy: Arc<Routine>,
    pub(super) release: Arc<Routine>,
    pub(super) renew: Arc<Routine>,
    pub(super) touch: Arc<Routine>,
    pub(super) wait: Arc<Routine>,
}

macro_rules! routine {
    ($prelude:expr, $name:literal) => {{
        let source = include_str!(concat!("../../lua/sanic/", $name, ".lua"));
        Arc::new(Routine::new(
            Script::new(source, $prelude, &LIBRARIES),
            None,
        ))
    }};
}

/// What these scripts have in common, and what they have in common with those of our own records.
const LIBRARIES: [(&str, &str); 11] = [
    NOW,
    ("header", include_str!("../../lua/lib/header.lua")),
    ("digest", include_str!("../../lua/lib/digest.lua")),
    ("hand_over", include_str!("../../lua/lib/hand_over.lua")),
    ("give_way", include_str!("../../lua/lib/give_way.lua")),
    ("tell", include_str!("../../lua/lib/tell.lua")),
    ("queue_up", include_str!("../../lua/lib/queue_up.lua")),
    ("version", include_str!("../../lua/sanic/lib/version.lua")),
    ("put", include_str!("../../lua/sanic/lib/put.lua")),
    ("use", include_str!("../../lua/sanic/lib/use.lua")),
    ("bury", include_str!("../../lua/sanic/lib/bury.lua")),
];

impl Scripts {
    /// `prelude` stands before each script: empty but in tests.
    pub(super) fn new(prelude: &str) -> Self {
        Self {
            load: routine!(prelude, "load"),
            commit: routine!(prelude, "commit"),
            update: routine!(prelude, "update"),
            create: routine!(prelude, "create"),
            destroy: routine!(prelude, "destroy"),
            release: routine!(prelude, "release"),
            renew: routine!(prelude, "renew"),
            touch: routine!(prelude, "touch"),
            wait: routine!(prelude, "wait"),
        }
    }

    /// Makes every script known to the server.
    pub(super) fn load_all(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        for routine in [
            &self.load,
            &self.commit,
            &self.update,
            &self.create,
            &self.destroy,
            &self.release,
            &self.renew,
            &self.touch,
            &self.wait,
        ] {
            routine.load(&mut pipeline);
        }
        pipeline
    }
}
