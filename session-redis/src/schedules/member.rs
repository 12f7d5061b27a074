use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use futures_util::poll;
use session_core::{CommitError, CommitId, Granted, SessionKey, Stored, Write};
use session_lock::Lease;
use shuttle::future::yield_now;
use tokio::sync::Notify;

use super::{
    chance::{below, one_of, perhaps_cancelled},
    process::Process,
};
use crate::cohort::{self, Outcome};

/// Somebody who wants the session.
pub(super) struct Member {
    /// Its place among all of the scenario. Stands in the record if its commit is stored.
    pub(super) number: u8,
    pub(super) process: Arc<Process>,
    pub(super) act: Act,
    /// After how many awaits it stops waiting for the lock; `None`: never.
    pub(super) patience: Option<u32>,
    /// As `patience`, for the answer to what it does in the end.
    pub(super) interest: Option<u32>,
}

/// What a guard does in the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Commit,
    Discard,
    Drop,
    Panic,
    /// Waits until what it was shown is stored, as for the end of a session, a new ID and a login.
    Settle,
}

impl Act {
    pub(super) fn any() -> Self {
        use Act::{Commit, Discard, Drop, Panic, Settle};
        *one_of(&[Commit, Commit, Commit, Discard, Drop, Panic, Settle])
    }
}

impl Member {
    pub(super) fn new(number: u8, process: &Arc<Process>, act: Act) -> Self {
        Self {
            number,
            process: Arc::clone(process),
            act,
            patience: None,
            interest: None,
        }
    }

    /// Takes the lock and uses it. `in_line`: told as soon as it stands in the line of its process.
    pub(super) async fn run(self, in_line: &Notify) {
        if let Some(Granted { lease, stored }) = self.lock(in_line).await {
            for _ in 0..below(4) {
                yield_now().await;
            }
            self.end(lease, stored).await;
        }
    }

    pub(super) async fn lock(&self, in_line: &Notify) -> Option<Granted> {
        let lock = perhaps_cancelled(self.process.lock(), self.patience);
        let mut lock = std::pin::pin!(lock);
        let first = poll!(lock.as_mut());
        in_line.notify_one();
        let granted = match first {
            std::task::Poll::Ready(granted) => granted,
            std::task::Poll::Pending => lock.await,
        };
        let granted = granted?.unwrap();
        let owner = granted.lease.held().owner;
        self.process
            .server
            .begins(owner, self.process.number, self.number);
        Some(granted)
    }

    pub(super) async fn end(&self, lease: Lease<SessionKey>, stored: Stored) {
        self.process.server.ends(lease.held().owner);
        match self.act {
            Act::Commit => {
                let commit = self.commit(lease, &stored);
                if let Some(outcome) = perhaps_cancelled(commit, self.interest).await {
                    self.has_committed(&outcome);
                }
            }
            Act::Discard => {
                let discard = cohort::release(&self.process, lease);
                if let Some(outcome) = perhaps_cancelled(discard, self.interest).await {
                    self.has_seen(&stored, outcome);
                }
            }
            Act::Drop => drop(lease),
            Act::Panic => {
                let panics = AssertUnwindSafe(|| {
                    let _lease = lease;
                    resume_unwind(Box::new("a guard's code"));
                });
                catch_unwind(panics).unwrap_err();
            }
            Act::Settle => {
                let settle = async {
                    let lease = cohort::settled(&*self.process, lease).await;
                    self.has_seen(&stored, lease.as_ref().map(drop).map_err(Clone::clone));
                    drop(lease);
                };
                perhaps_cancelled(settle, self.interest).await;
            }
        }
    }

    pub(super) async fn commit(&self, lease: Lease<SessionKey>, stored: &Stored) -> Outcome {
        let mut header = stored.header.clone();
        header.commit_id = CommitId::random();
        let write = Write {
            base: stored.header.commit_id,
            header,
            body: [&stored.body[..], &[self.number]].concat().into(),
        };
        cohort::commit(&self.process, lease, write).await
    }

    /// A commit returns when its version or a later one is stored, or with its error.
    fn has_committed(&self, outcome: &Outcome) {
        let server = &self.process.server;
        match outcome {
            Ok(_) => assert!(server.committed().contains(&self.number), "not stored"),
            Err(error) => {
                assert!(!server.is_sound(), "{error:?}");
                if !matches!(error, CommitError::Unknown(_)) {
                    server.has_refused(self.number);
                }
            }
        }
    }

    /// Who is told that all is well has been shown nothing that is not stored.
    fn has_seen(&self, shown: &Stored, outcome: Result<(), CommitError>) {
        let server = &self.process.server;
        match outcome {
            Ok(()) => assert!(server.committed().starts_with(&shown.body), "not stored"),
            Err(error) => assert!(!server.is_sound(), "{error:?}"),
        }
    }
}
