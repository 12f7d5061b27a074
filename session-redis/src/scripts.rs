//! The only place that loads scripts, and what their answers mean.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use redis::{Pipeline, Value};
use session_core::StoreTime;
use session_lock::link::{NOW, Routine, Script};

/// The scripts of a store: those that note their writes for secondaries, once there are any.
#[derive(Debug)]
pub(crate) struct Current {
    prelude: String,
    first: Scripts,
    noting: OnceLock<Scripts>,
}

impl Current {
    /// `prelude` stands before each script: empty but in tests, which make single calls of a script fail with it.
    pub(crate) fn new(prelude: &str) -> Self {
        Self {
            first: Scripts::new(prelude, &[]),
            prelude: prelude.to_owned(),
            noting: OnceLock::new(),
        }
    }

    /// From now on, writes are noted in these outboxes.
    pub(crate) fn note_in(&self, outboxes: &[String]) {
        self.noting
            .get_or_init(|| Scripts::new(&self.prelude, outboxes));
    }
}

impl Deref for Current {
    type Target = Scripts;

    fn deref(&self) -> &Scripts {
        self.noting.get().unwrap_or(&self.first)
    }
}

/// All scripts of the store.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) commit: Arc<Routine>,
    pub(crate) save: Arc<Routine>,
    pub(crate) update: Arc<Routine>,
    pub(crate) create: Arc<Routine>,
    pub(crate) destroy: Arc<Routine>,
    pub(crate) release: Arc<Routine>,
    pub(crate) renew: Arc<Routine>,
    pub(crate) touch: Arc<Routine>,
    pub(crate) wait: Arc<Routine>,
    pub(crate) leave: Arc<Routine>,
    pub(crate) rotate: Arc<Routine>,
    pub(crate) login: Arc<Routine>,
    pub(crate) enter: Arc<Routine>,
    pub(crate) freeze: Arc<Routine>,
    pub(crate) thaw: Arc<Routine>,
    pub(crate) revoke: Arc<Routine>,
    pub(crate) standing: Arc<Routine>,
    pub(crate) floor: Arc<Routine>,
    pub(crate) list: Arc<Routine>,
    pub(crate) limit: Arc<Routine>,
    pub(crate) claim: Arc<Routine>,
    pub(crate) pending: Arc<Routine>,
    pub(crate) delivered: Arc<Routine>,
    pub(crate) set_aside: Arc<Routine>,
    pub(crate) retry: Arc<Routine>,
    pub(crate) note_one: Arc<Routine>,
    pub(crate) backlog: Arc<Routine>,
}

macro_rules! script {
    ($made:expr, $name:literal) => {
        $made(include_str!(concat!("../lua/", $name, ".lua")))
    };
}

macro_rules! routine {
    ($made:expr, $one:literal) => {
        Arc::new(Routine::new(script!($made, $one), None))
    };
    ($made:expr, $one:literal, $many:literal) => {
        Arc::new(Routine::new(
            script!($made, $one),
            Some(script!($made, $many)),
        ))
    };
}

/// What scripts have in common, put in where a line says `-- include NAME`: after the quick way through the script,
/// if it is not needed there.
const LIBRARIES: [(&str, &str); 20] = [
    NOW,
    ("header", include_str!("../lua/lib/header.lua")),
    ("digest", include_str!("../lua/lib/digest.lua")),
    ("refused", include_str!("../lua/lib/refused.lua")),
    ("replace", include_str!("../lua/lib/replace.lua")),
    ("quickly", include_str!("../lua/lib/quickly.lua")),
    ("touch", include_str!("../lua/lib/touch.lua")),
    ("hand_over", include_str!("../lua/lib/hand_over.lua")),
    ("give_way", include_str!("../lua/lib/give_way.lua")),
    ("tell", include_str!("../lua/lib/tell.lua")),
    ("queue_up", include_str!("../lua/lib/queue_up.lua")),
    ("kinds", include_str!("../lua/lib/kinds.lua")),
    ("users", include_str!("../lua/lib/users.lua")),
    ("finish", include_str!("../lua/lib/finish.lua")),
    ("holder", include_str!("../lua/lib/holder.lua")),
    ("leave_old", include_str!("../lua/lib/leave_old.lua")),
    ("admit", include_str!("../lua/lib/admit.lua")),
    ("first", include_str!("../lua/lib/first.lua")),
    ("once", include_str!("../lua/lib/once.lua")),
    ("reschedule", include_str!("../lua/lib/reschedule.lua")),
];

/// The library that notes writes in these outboxes; without any, it says that there is none.
fn note(outboxes: &[String]) -> String {
    if outboxes.is_empty() {
        return "local note, note_end, has_moved".to_owned();
    }
    // Their names have no quotes in them.
    let names: Vec<String> = outboxes.iter().map(|name| format!("'{name}'")).collect();
    let text = include_str!("../lua/lib/note.lua");
    format!("local OUTBOXES = {{{}}}\n{text}", names.join(", "))
}

impl Scripts {
    fn new(prelude: &str, outboxes: &[String]) -> Self {
        let note = note(outboxes);
        let libraries: Vec<(&str, &str)> = LIBRARIES
            .into_iter()
            .chain([("note", note.as_str())])
            .collect();
        let made = |text| Script::new(text, prelude, &libraries);
        Self {
            commit: routine!(made, "commit", "commits"),
            save: routine!(made, "save"),
            update: routine!(made, "update", "updates"),
            create: routine!(made, "create"),
            destroy: routine!(made, "destroy"),
            release: routine!(made, "release"),
            renew: routine!(made, "renew"),
            touch: routine!(made, "touch"),
            wait: routine!(made, "wait"),
            leave: routine!(made, "leave"),
            rotate: routine!(made, "rotate"),
            login: routine!(made, "login"),
            enter: routine!(made, "enter"),
            freeze: routine!(made, "freeze"),
            thaw: routine!(made, "thaw"),
            revoke: routine!(made, "revoke"),
            standing: routine!(made, "standing"),
            floor: routine!(made, "floor"),
            list: routine!(made, "list"),
            claim: routine!(made, "claim"),
            pending: routine!(made, "pending"),
            delivered: routine!(made, "delivered"),
            set_aside: routine!(made, "set_aside"),
            retry: routine!(made, "retry"),
            note_one: routine!(made, "note_one"),
            backlog: routine!(made, "backlog"),
            limit: routine!(made, "limit"),
        }
    }

    /// Makes every script known to the server.
    pub(crate) fn load_all(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        for routine in [
            &self.commit,
            &self.save,
            &self.update,
            &self.create,
            &self.destroy,
            &self.release,
            &self.renew,
            &self.touch,
            &self.wait,
            &self.leave,
            &self.rotate,
            &self.login,
            &self.enter,
            &self.freeze,
            &self.thaw,
            &self.revoke,
            &self.standing,
            &self.floor,
            &self.list,
            &self.limit,
            &self.claim,
            &self.pending,
            &self.delivered,
            &self.set_aside,
            &self.retry,
            &self.note_one,
            &self.backlog,
        ] {
            routine.load(&mut pipeline);
        }
        pipeline
    }
}

/// What a script answered: `{code, now_ms, extra}`, and perhaps more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) now: StoreTime,
    /// `forgotten`, or what the script says it is.
    pub(crate) extra: i64,
}

/// The codes of all scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Done,
    DoneBefore,
    Nothing,
    NoRecord,
    Ended,
    NotOwner,
    OtherVersion,
    WrongType,
    Unreadable,
    Expired,
    NoStage,
    Locked,
    ForeignLock,
    Rotated,
    Superseded,
    UserDisabled,
    TooManySessions,
}

impl Answer {
    pub(crate) const PARTS: usize = 3;

    pub(crate) fn read(value: &Value) -> Option<Self> {
        let Value::Array(parts) = value else {
            return None;
        };
        let [Value::Int(code), Value::Int(now), Value::Int(extra), ..] = parts[..] else {
            return None;
        };
        let code = match code {
            1 => Code::Done,
            2 => Code::DoneBefore,
            0 => Code::Nothing,
            -1 => Code::NoRecord,
            -2 => Code::Ended,
            -3 => Code::NotOwner,
            -4 => Code::OtherVersion,
            -5 => Code::WrongType,
            -6 => Code::Unreadable,
            -7 => Code::Expired,
            -8 => Code::NoStage,
            -9 => Code::ForeignLock,
            -10 => Code::Locked,
            -11 => Code::Rotated,
            -12 => Code::Superseded,
            -13 => Code::UserDisabled,
            -14 => Code::TooManySessions,
            _ => return None,
        };
        Some(Self {
            code,
            now: StoreTime::from_millis(u64::try_from(now).ok()?),
            extra,
        })
    }
}
