use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::Fault;

/// A call that got no usable answer.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "for this project's own crates")]
pub struct CallError {
    /// What was found.
    pub fault: Fault,
    /// The cause.
    pub source: Option<RedisError>,
    /// Whether the server may have received the call, and may yet execute it.
    pub sent: bool,
}

impl CallError {
    /// `fault`, of which the server can know nothing.
    pub const fn refused(fault: Fault) -> Self {
        Self {
            fault,
            source: None,
            sent: false,
        }
    }

    /// The same, of a call that never left: only what comes before it did.
    #[must_use]
    pub fn unsent(self) -> Self {
        Self {
            sent: false,
            ..self
        }
    }

    /// Whether the same call may succeed in a moment without anybody doing anything.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self.fault,
            Fault::Unreachable
                | Fault::TimedOut(_)
                | Fault::Loading
                | Fault::Migrating
                | Fault::Unserved
        )
    }
}

/// The fault behind an error of a connection.
pub fn connection_fault(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::AuthenticationFailed => Fault::Denied,
        ErrorKind::InvalidClientConfig => {
            Fault::Unsuitable(format!("the client is misconfigured: {error}"))
        }
        ErrorKind::Server(_) | ErrorKind::Extension => server_fault(
            error.code().unwrap_or_default(),
            error.detail().unwrap_or_default(),
        ),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Fault::Protocol,
        _ => Fault::Unreachable,
    }
}

/// The fault behind an error that the server answered. None of these commands had an effect.
pub fn server_error(error: &ServerError) -> Fault {
    server_fault(error.code(), error.details().unwrap_or_default())
}

fn server_fault(code: &str, detail: &str) -> Fault {
    // An error inside of a script has the code ERR on some versions and its own code further on.
    let says = |what: &str| code == what || detail.contains(what);
    if says("LOADING") || says("MASTERDOWN") {
        Fault::Loading
    } else if code == "TRYAGAIN" {
        Fault::Migrating
    } else if says("READONLY") {
        Fault::ReadOnly
    } else if says("OOM") || says("MISCONF") {
        Fault::Full
    } else if DENIED.into_iter().any(says) {
        Fault::Denied
    } else if code == "CLUSTERDOWN" {
        Fault::Unserved
    } else if matches!(code, "MOVED" | "ASK" | "CROSSSLOT") {
        Fault::Unsuitable(format!(
            "the server is one node of a cluster and answered {code}; it does not hold all slots: connect to redis+cluster://..."
        ))
    } else {
        Fault::Protocol
    }
}

/// The last two: what a script is told of a command that its user may not run, by version.
const DENIED: [&str; 6] = [
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "invalid password",
    "The user executing the script can't",
    "ACL failure in script",
];

/// Whether the server did not know a script that one of these answers is from.
pub fn lost_script(answers: &[Value]) -> bool {
    let lost = |answer: &Value| match answer {
        Value::ServerError(error) => error.code() == "NOSCRIPT",
        _ => false,
    };
    answers.iter().any(lost)
}

/// Whether the key is of another type.
pub fn is_wrong_type(error: &ServerError) -> bool {
    error.code() == "WRONGTYPE"
}
