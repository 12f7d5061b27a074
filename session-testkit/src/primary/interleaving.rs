use session_core::{AcquireError, CommitError, LoginTicket, SessionHandle};

use super::*;
use crate::{Stopping, Stops, cancel_after};

/// Promise 4: each way of writing against each way of ending, which comes as a whole before, between and after the
/// operations of the writer: never is there a live session afterwards, and who comes too late is told so.
pub async fn an_ending_between_any_two_steps_of_a_write_is_final<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let others = sessions(fixture);
    for ending in ENDINGS {
        for path in PATHS.into_iter().filter(|path| path.is_ended_by(ending)) {
            let undisturbed = Stops::nowhere();
            let begun = begin(fixture, path).await;
            let writer = stopping(fixture, &undisturbed);
            let done = meanwhile(fixture, write_by(&writer, &begun, path)).await;
            assert!(done.refused.is_none(), "{path:?}: {:?}", done.refused);
            end(&others, &begun, ending).await;
            let last = undisturbed.passed() - 1;
            assert!(last >= 1, "{path:?} asks nothing of the store");
            for stop in 0..=last {
                let begun = begin(fixture, path).await;
                let stops = Stops::at(stop);
                let writer = stopping(fixture, &stops);
                let (done, ()) = meanwhile(fixture, async {
                    tokio::join!(
                        write_by(&writer, &begun, path),
                        stops.meanwhile(end(&others, &begun, ending))
                    )
                })
                .await;
                let what = format!("{path:?} against {ending:?} at stop {stop} of {last}");
                over(&others, &begun, &done, &what).await;
                told(path, &done, &what);
                let is_late = stop < last;
                assert_eq!(done.refused.is_some(), is_late, "{what}: it is not told");
            }
        }
    }
}

/// Promise 4: the same at every await, with both at work at the same time from then on.
pub async fn no_write_brings_a_revoked_session_back<F: PrimaryFixture>(fixture: &F) {
    if !has_users(fixture).await {
        return;
    }
    let sessions = sessions(fixture);
    for ending in ENDINGS {
        for path in PATHS.into_iter().filter(|path| path.is_ended_by(ending)) {
            for polls in 0.. {
                let begun = begin(fixture, path).await;
                let mut late = Box::pin(write_by(&sessions, &begun, path));
                let early = cancel_after(polls, late.as_mut()).await;
                let (done, is_first) = meanwhile(fixture, async {
                    let ending = end(&sessions, &begun, ending);
                    if let Some(done) = early {
                        ending.await;
                        (done, true)
                    } else {
                        (tokio::join!(late, ending).0, false)
                    }
                })
                .await;
                let what = format!("{path:?} against {ending:?} after {polls} polls");
                over(&sessions, &begun, &done, &what).await;
                told(path, &done, &what);
                assert!(!is_first || done.refused.is_none(), "{what}");
                if is_first {
                    break;
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Destroy,
    RevokeOne,
    RevokeOthers,
    RevokeAll,
    Disable,
    RevokeEverything,
}

pub(crate) const ENDINGS: [Ending; 6] = [
    Ending::Destroy,
    Ending::RevokeOne,
    Ending::RevokeOthers,
    Ending::RevokeAll,
    Ending::Disable,
    Ending::RevokeEverything,
];

/// What there is before a write and an ending begin: a session of Ada's, and a ticket for a login of hers.
pub(crate) struct Begun {
    pub(crate) id: SessionId,
    pub(crate) handle: SessionHandle,
    pub(crate) ticket: LoginTicket,
}

async fn begin<F: PrimaryFixture>(fixture: &F, path: Path) -> Begun {
    let sessions = sessions(fixture);
    enable(&sessions).await;
    // Everything that was stored in the same millisecond may be revoked with the rest.
    fixture.pass(ms(2)).await;
    let id = match path {
        Path::FirstLogIn => stored(&sessions, 1).await,
        _ => logged_in(&sessions, "ada").await,
    };
    let handle = snapshot(&sessions, &id).await.handle();
    let ticket = begun(&sessions, "ada").await;
    Begun { id, handle, ticket }
}

/// Ends a session of Ada's.
pub(crate) async fn end(sessions: &Sessions, begun: &Begun, ending: Ending) {
    let ada = of(sessions, "ada");
    match ending {
        Ending::Destroy => sessions.destroy(&begun.id).await.expect("it can be ended"),
        Ending::RevokeOne => drop(ada.revoke(begun.handle).await.expect("it is done")),
        Ending::RevokeOthers => {
            let other = SessionHandle::random();
            ada.revoke_others(other).await.expect("it is done");
        }
        Ending::RevokeAll => drop(ada.revoke_all().await.expect("it is done")),
        Ending::Disable => drop(ada.disable().await.expect("it is done")),
        Ending::RevokeEverything => {
            let revoked = sessions.revoke_everything().await;
            revoked.expect("all can be revoked");
        }
    }
}

pub(crate) async fn enable(sessions: &Sessions) {
    let enabled = of(sessions, "ada").enable().await;
    enabled.expect("she can be enabled");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Path {
    Commit,
    Touch,
    Regenerate,
    /// She logs in again.
    LogIn,
    /// A session of nobody becomes one of hers.
    FirstLogIn,
    /// A session begins as one of hers.
    Create,
    Update,
    UnlockedSave,
    Read,
}

const PATHS: [Path; 9] = [
    Path::Commit,
    Path::Touch,
    Path::Regenerate,
    Path::LogIn,
    Path::FirstLogIn,
    Path::Create,
    Path::Update,
    Path::UnlockedSave,
    Path::Read,
];

impl Path {
    /// Whether no session may live after both, whichever came first.
    const fn is_ended_by(self, ending: Ending) -> bool {
        match self {
            // A session of a user that logs in again leaves no way to it behind under the old ID.
            Self::LogIn => !matches!(ending, Ending::Destroy),
            // What is not hers yet is ended only by what ends her logins too.
            Self::FirstLogIn | Self::Create => matches!(
                ending,
                Ending::RevokeAll | Ending::Disable | Ending::RevokeEverything
            ),
            _ => true,
        }
    }
}

/// What became of a write.
#[derive(Default)]
struct Done {
    new: Option<SessionId>,
    refused: Option<Error>,
}

/// Uses a session in one of the ways there are.
async fn write_by(sessions: &Sessions, begun: &Begun, path: Path) -> Done {
    let (id, mut new) = (&begun.id, None);
    let written = async {
        match path {
            Path::Create => {
                let mut session = sessions.create();
                new = Some(session.login_with(login("ada").ticket(begun.ticket), &ada())?);
                write(&mut session, 1);
                session.commit().await?;
            }
            Path::Commit | Path::Touch | Path::Regenerate | Path::LogIn | Path::FirstLogIn => {
                let mut guard = sessions.lock(id).await?;
                match path {
                    Path::Touch => {}
                    Path::Regenerate => new = Some(guard.regenerate()),
                    Path::LogIn => new = Some(guard.login("ada", &ada())?),
                    Path::FirstLogIn => {
                        new = Some(guard.login_with(login("ada").ticket(begun.ticket), &ada())?);
                    }
                    _ => write(&mut guard, 2),
                }
                guard.commit().await?;
            }
            Path::Update => {
                let updated = sessions.update(id, |data| {
                    write(data, 2);
                    Ok::<_, Error>(())
                });
                updated.await?;
            }
            Path::UnlockedSave => {
                let loaded = sessions.unlocked().load(id).await?;
                let mut session = loaded.ok_or(AcquireError::NoSession)?;
                write(&mut session, 2);
                session.save().await?;
            }
            Path::Read => drop(
                sessions
                    .snapshot(id)
                    .await?
                    .ok_or(AcquireError::NoSession)?,
            ),
        }
        Ok::<_, Error>(())
    };
    let refused = written.await.err();
    Done { new, refused }
}

/// Shows that nothing of the session lives.
async fn over(sessions: &Sessions, begun: &Begun, done: &Done, what: &str) {
    for id in [Some(&begun.id), done.new.as_ref()].into_iter().flatten() {
        let left = sessions.snapshot(id).await.expect("it can be read");
        // What was never hers, and what it was before a login, may be there yet.
        let hers = left.filter(|left| left.user_id().is_some() || *id != begun.id);
        assert!(hers.is_none(), "{what}: it lives");
        match sessions.lock(id).await {
            // An old ID may say that it is one until its grace is over.
            Err(AcquireError::NoSession | AcquireError::Rotated) => {}
            Ok(guard) => {
                assert_eq!(guard.user_id(), None, "{what}: it lives");
                guard.discard().await.expect("it can be given back");
            }
            Err(refused) => panic!("{what}: {refused:?}"),
        }
    }
    assert!(listed(sessions, "ada").await.is_empty(), "{what}");
}

/// Shows that a late writer is told that the session, or the login, is over.
fn told(path: Path, done: &Done, what: &str) {
    let is_over = |refused: &Error| match refused {
        Error::Acquire(AcquireError::NoSession)
        | Error::Commit(CommitError::Destroyed | CommitError::UserDisabled) => true,
        Error::Commit(CommitError::Superseded) => matches!(path, Path::FirstLogIn | Path::Create),
        // Of one that was to write nothing, that its lease is gone is enough.
        Error::Commit(CommitError::LeaseLost { .. }) => path == Path::Touch,
        _ => false,
    };
    assert!(
        done.refused.as_ref().is_none_or(is_over),
        "{what}: {:?}",
        done.refused
    );
}

fn stopping<F: PrimaryFixture>(fixture: &F, stops: &Stops) -> Sessions {
    let store = Stopping::new(fixture.store(), stops.clone());
    let sessions = settings(fixture, store).build();
    sessions.expect("the settings are valid")
}
