//! What calls under a lease come to.

use session_core::{CommitError, Committed, SessionKey};
use session_lock::{Lease, LossCause, link::Entry};

use crate::{
    delivery::{Delivered, Server, Undelivered},
    scripts::Code,
    write,
};

/// Of a write. With every answer of the server the lock is free, or not ours.
pub(crate) fn written(
    lease: Lease<SessionKey>,
    outcome: Result<Committed, CommitError>,
) -> Result<Committed, CommitError> {
    let outcome = outcome.map_err(|error| named(error, &lease));
    if !matches!(
        outcome,
        Err(CommitError::Unknown(_) | CommitError::Store(_))
    ) {
        lease.finish();
    }
    outcome
}

/// Of the end of a session.
pub(crate) fn ended(
    server: &Server,
    lease: Lease<SessionKey>,
    delivered: Result<Delivered, Undelivered>,
) -> Result<(), CommitError> {
    if let Ok(Delivered { answer, .. }) = &delivered
        && matches!(
            answer.code,
            Code::Done | Code::Ended | Code::NoRecord | Code::Expired
        )
    {
        // Over in any case: ended now, or before, or run out.
        lease.finish();
        return Ok(());
    }
    let outcome = write::outcome(&lease.held().resource, delivered, || {
        server.protocol("end a session")
    });
    outcome.map(drop).map_err(|error| named(error, &lease))
}

/// Gives the lock back by a script.
pub(crate) async fn release(
    server: &Server,
    lease: Lease<SessionKey>,
    release: Entry,
) -> Result<(), CommitError> {
    let released = server.run(&|| release.clone().into()).await;
    let answer = released.map_err(|error| server.failed("release a session", error))?;
    let outcome = if answer.code == Code::Done {
        Ok(())
    } else {
        Err(late(&lease))
    };
    lease.finish();
    outcome
}

/// The error with the cause of the loss that is known here.
fn named(error: CommitError, lease: &Lease<SessionKey>) -> CommitError {
    match error {
        CommitError::LeaseLost { .. } => late(lease),
        error => error,
    }
}

fn late(lease: &Lease<SessionKey>) -> CommitError {
    CommitError::LeaseLost {
        cause: lease.loss().unwrap_or(LossCause::Gone),
    }
}
