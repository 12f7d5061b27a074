//! What Redis and the network say, as the errors of the core.

use redis::{ErrorKind, RedisError, ServerError};
use session_core::{Fault, StoreError};

/// A call that got no usable answer.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) fault: Fault,
    pub(crate) source: Option<RedisError>,
    /// Whether the server may have received the call, and may yet execute it.
    pub(crate) sent: bool,
}

impl CallError {
    pub(crate) fn into_store_error(self, action: &'static str, node: &str) -> StoreError {
        let error = StoreError::new(action, node.to_owned(), self.fault);
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    /// Whether the same call may succeed in a moment without anybody doing anything.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(
            self.fault,
            Fault::Unreachable | Fault::TimedOut(_) | Fault::Loading | Fault::Migrating
        )
    }
}

/// The fault behind an error of a connection.
pub(crate) fn connection_fault(error: &RedisError) -> Fault {
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
pub(crate) fn server_error(error: &ServerError) -> Fault {
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
    } else if says("NOAUTH") || says("WRONGPASS") || says("NOPERM") || says("invalid password") {
        Fault::Denied
    } else if matches!(code, "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT") {
        Fault::Unsuitable(format!(
            "the server is one node of a cluster and answered {code}; it does not hold all slots"
        ))
    } else {
        Fault::Protocol
    }
}

pub(crate) fn is_no_script(error: &ServerError) -> bool {
    error.code() == "NOSCRIPT"
}

pub(crate) fn is_wrong_type(error: &ServerError) -> bool {
    error.code() == "WRONGTYPE"
}
