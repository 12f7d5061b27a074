use std::io;

use session_core::Fault;
use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

/// What an error of the client means, and what may be shown of it.
pub(crate) fn fault(error: &Error) -> (Fault, Option<Refusal>) {
    match error.as_db_error() {
        Some(refusal) => (refused(refusal), Some(Refusal::new(refusal))),
        None if error.is_closed() || is_io(error) => (Fault::Unreachable, None),
        None if is_tls(error) => (Fault::Unsuitable(NO_TLS.to_owned()), None),
        None => (Fault::Protocol, None),
    }
}

const NO_TLS: &str =
    "no connection over TLS can be made: the server has none, or its certificate is not trusted";

// The client tells its errors of TLS apart by their text alone.
fn is_tls(error: &Error) -> bool {
    error
        .to_string()
        .starts_with("error performing TLS handshake")
}

fn is_io(error: &Error) -> bool {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    // So it calls a certificate that is not trusted.
    source.is_some_and(|source| source.kind() != io::ErrorKind::InvalidData)
}

fn refused(refusal: &DbError) -> Fault {
    let code = refusal.code();
    match code.code().split_at(2) {
        _ if is_missing(code) && refusal.message().contains("latchkey_") => {
            Fault::Unsuitable(MIGRATE.to_owned())
        }
        _ if is_missing(code) => {
            let what = "the table is not there, or has other columns; make it as its service does";
            Fault::Unsuitable(what.to_owned())
        }
        _ if *code == SqlState::INVALID_PARAMETER_VALUE => {
            Fault::Unsuitable(refusal.message().to_owned())
        }
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => Fault::Denied,
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Fault::ReadOnly,
        _ if *code == SqlState::DISK_FULL || *code == SqlState::OUT_OF_MEMORY => Fault::Full,
        _ if *code == SqlState::CANNOT_CONNECT_NOW => Fault::Loading,
        ("28", _) => Fault::Denied,
        ("08" | "57", _) => Fault::Unreachable,
        ("53", _) => Fault::Unreachable,
        // A deadlock, or an isolation level that refuses to wait: nothing was done, and it can be done again.
        ("40", _) => Fault::Loading,
        ("3D", _) => Fault::Unsuitable("there is no such database".to_owned()),
        _ => Fault::Protocol,
    }
}

/// What to do where our own tables are missing.
pub(crate) const MIGRATE: &str = "the tables of Latchkey are not there, or of another release; make them by \
    `session_postgres::migrations::up`, or from Latchkey's repository by \
    `cargo run --example migrate -- --postgres URL up`";

fn is_missing(code: &SqlState) -> bool {
    *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_COLUMN
}

/// What the database said. Without its details, which may quote a row.
#[derive(Debug, thiserror::Error)]
#[error("SQLSTATE {code}: {message}")]
pub(crate) struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    fn new(refusal: &DbError) -> Self {
        Self {
            code: refusal.code().code().to_owned(),
            message: refusal.message().to_owned(),
        }
    }
}
