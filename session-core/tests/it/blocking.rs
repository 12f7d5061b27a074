use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use session_core::{
    AcquireError, CommitError, Error, InvalidUserId, Login, LoginError, MemoryStore, ReadError,
    SessionData, SessionGuard, SessionHandle, SessionId, WithError,
    blocking::{CallError, InsideRuntime, Sessions, StartError},
};

const LEASE: Duration = Duration::from_millis(150);

fn sessions() -> Sessions {
    let connect = async || {
        let store = session_core::Sessions::builder(MemoryStore::new()).lease(LEASE);
        store.build()
    };
    Sessions::new(connect).unwrap()
}

fn add_one(data: &mut SessionData) -> Result<u64, Error> {
    Ok(data.modify("visits", |visits: &mut u64| {
        *visits += 1;
        *visits
    })?)
}

fn in_a_runtime(call: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async { call() });
}

#[test]
fn a_session_is_made_changed_read_and_ended() {
    let sessions = sessions();
    sessions.ping().unwrap();
    let (id, one) = sessions.with_new(|session| add_one(session)).unwrap();
    assert_eq!(one, 1);
    assert_eq!(sessions.with(&id, |session| add_one(session)).unwrap(), 2);
    assert_eq!(sessions.update(&id, add_one).unwrap(), 3);
    let mut guard = sessions.lock(&id).unwrap();
    add_one(&mut guard).unwrap();
    assert!(guard.commit().unwrap().is_stored());
    let mut guard = sessions.lock(&id).unwrap();
    add_one(&mut guard).unwrap();
    guard.discard().unwrap();
    let snapshot = sessions.snapshot(&id).unwrap().unwrap();
    assert_eq!(snapshot.get::<u64>("visits").unwrap(), Some(4));
    sessions.destroy(&id).unwrap();
    assert!(sessions.snapshot(&id).unwrap().is_none());
    assert!(matches!(
        sessions.lock(&id),
        Err(CallError::Failed(AcquireError::NoSession))
    ));
}

#[test]
fn a_new_session_is_stored_by_its_commit() {
    let sessions = sessions();
    let mut guard = sessions.create().unwrap();
    let id = guard.id().clone();
    add_one(&mut guard).unwrap();
    assert!(sessions.snapshot(&id).unwrap().is_none());
    guard.commit().unwrap();
    assert!(sessions.snapshot(&id).unwrap().is_some());
}

#[test]
fn threads_that_count_lose_nothing() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    sessions.with(&id, |session| add_one(session)).unwrap();
                }
            });
        }
    });
    assert_eq!(sessions.with(&id, |session| add_one(session)).unwrap(), 102);
}

#[test]
fn the_lease_is_renewed_while_its_thread_works() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let guard = sessions.lock(&id).unwrap();
    // Not to wait for anything, but to be busy for longer than the lease.
    thread::sleep(LEASE * 4);
    assert!(!guard.lease_remaining().is_zero());
    assert!(matches!(
        sessions.lock_within(&id, Duration::ZERO),
        Err(CallError::Failed(AcquireError::Held { .. }))
    ));
    guard.commit().unwrap();
}

#[test]
fn the_lease_is_renewed_also_if_the_sessions_are_dropped_first() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let mut guard = sessions.lock(&id).unwrap();
    drop(sessions);
    thread::sleep(LEASE * 4);
    add_one(&mut guard).unwrap();
    guard.commit().unwrap();
}

#[test]
fn a_body_that_fails_or_panics_changes_nothing() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let failed = sessions.with(&id, |session| {
        add_one(session).unwrap();
        Err::<(), _>("on purpose")
    });
    assert!(matches!(
        failed,
        Err(CallError::Failed(WithError::Body("on purpose")))
    ));
    let panics = || {
        sessions.with(&id, |session| -> Result<(), Error> {
            add_one(session)?;
            panic!("on purpose")
        })
    };
    thread::scope(|scope| scope.spawn(panics).join().unwrap_err());
    assert_eq!(sessions.with(&id, |session| add_one(session)).unwrap(), 2);
}

#[test]
fn a_body_may_use_other_sessions_but_not_lock_its_own_again() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let (other, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let body = |session: &mut SessionGuard| {
        assert!(matches!(
            sessions.lock(&id),
            Err(CallError::Failed(AcquireError::AlreadyHeld))
        ));
        sessions.with(&other, |other| add_one(other)).unwrap();
        add_one(session)
    };
    assert_eq!(sessions.with(&id, body).unwrap(), 2);
    sessions.lock(&id).unwrap().discard().unwrap();
}

#[test]
fn every_call_inside_of_a_runtime_is_refused() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let (commits, discards) = (sessions.lock(&id).unwrap(), sessions.create().unwrap());
    let (ada, handle) = (sessions.user("ada").unwrap(), commits.handle());
    in_a_runtime(|| {
        let connect = async || Ok::<_, Error>(session_core::Sessions::new(MemoryStore::new()));
        assert!(matches!(
            Sessions::new(connect),
            Err(StartError::InsideRuntime(InsideRuntime { .. }))
        ));
        macro_rules! refused {
            ($($call:expr),+ $(,)?) => {
                $( assert!(matches!($call, Err(CallError::InsideRuntime(InsideRuntime { .. })))); )+
            };
        }
        refused![
            sessions.with_new(|session| add_one(session)),
            sessions.with(&id, |session| add_one(session)),
            sessions.update(&id, add_one),
            sessions.lock(&id),
            sessions.lock_within(&id, Duration::ZERO),
            sessions.snapshot(&id),
            sessions.destroy(&id),
            sessions.begin_login("ada"),
            ada.list(),
            ada.revoke(handle),
            ada.revoke_others(handle),
            ada.revoke_all(),
            ada.disable(),
            ada.enable(),
            sessions.revoke_everything(),
            sessions.ping(),
            sessions.shutdown(Duration::ZERO),
            commits.commit(),
            discards.discard(),
        ];
        assert!(matches!(sessions.create(), Err(InsideRuntime { .. })));
    });
    let value = sessions.with(&id, |session| add_one(session)).unwrap();
    assert_eq!(value, 2, "a refused call did something");
}

#[test]
fn sessions_and_guards_can_be_dropped_inside_of_a_runtime() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let guard = sessions.lock(&id).unwrap();
    in_a_runtime(move || {
        drop(sessions);
        drop(guard);
    });
}

#[test]
fn an_error_while_connecting_is_the_answer() {
    let refused = Sessions::new(async || Err("no server"));
    assert!(matches!(refused, Err(StartError::Connect("no server"))));
}

#[test]
fn shutdown_waits_for_guards_on_other_threads() {
    let sessions = sessions();
    let (id, _) = sessions.with_new(|session| add_one(session)).unwrap();
    let locked = Arc::new(Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut guard = sessions.lock(&id).unwrap();
            locked.wait();
            add_one(&mut guard).unwrap();
            guard.commit().unwrap();
        });
        locked.wait();
        sessions.shutdown(Duration::from_secs(20)).unwrap();
    });
    assert!(matches!(
        sessions.snapshot(&id),
        Err(CallError::Failed(ReadError::ShutDown))
    ));
    let mut late = sessions.create().unwrap();
    add_one(&mut late).unwrap();
    assert!(matches!(
        late.commit(),
        Err(CallError::Failed(CommitError::ShutDown))
    ));
}

fn log_in(session: &mut SessionGuard) -> Result<(SessionId, SessionHandle), LoginError> {
    let id = session.login("ada", &"Ada")?;
    Ok((id, session.handle()))
}

#[test]
fn the_sessions_of_a_user_are_listed_and_revoked() {
    let sessions = sessions();
    let ada = sessions.user("ada").unwrap();
    assert!(matches!(sessions.user(""), Err(InvalidUserId { .. })));
    let made: Vec<_> = (0..4).map(|_| sessions.with_new(log_in).unwrap()).collect();
    for (id, (told, handle)) in &made {
        assert_eq!(id, told, "the login has given it another ID");
        let snapshot = sessions.snapshot(id).unwrap().unwrap();
        assert_eq!(snapshot.handle(), *handle);
    }
    let [first, second, ..] = &made[..] else {
        unreachable!("there are four");
    };
    assert_eq!(ada.list().unwrap().len(), 4);
    assert!(ada.revoke(first.1.1).unwrap());
    assert!(!ada.revoke(first.1.1).unwrap());
    assert!(sessions.snapshot(&first.0).unwrap().is_none());
    assert_eq!(ada.revoke_others(second.1.1).unwrap(), 2);
    let listed = ada.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].handle, second.1.1);
    assert_eq!(ada.revoke_all().unwrap(), 1);
    assert!(ada.list().unwrap().is_empty());
}

#[test]
fn a_login_that_was_revoked_or_is_disabled_is_refused() {
    let sessions = sessions();
    let ada = sessions.user("ada").unwrap();
    let ticket = sessions.begin_login("ada").unwrap();
    ada.revoke_all().unwrap();
    let mut late = sessions.create().unwrap();
    let login = Login::new("ada").unwrap().ticket(ticket);
    late.login_with(login, &"Ada").unwrap();
    let refused = late.commit();
    assert!(matches!(
        refused,
        Err(CallError::Failed(CommitError::Superseded))
    ));

    let (id, _) = sessions.with_new(log_in).unwrap();
    assert_eq!(ada.disable().unwrap(), 1);
    assert!(sessions.snapshot(&id).unwrap().is_none());
    let refused = sessions.begin_login("ada");
    assert!(matches!(
        refused,
        Err(CallError::Failed(LoginError::Disabled))
    ));
    ada.enable().unwrap();
    sessions.begin_login("ada").unwrap();
    let (id, _) = sessions.with_new(log_in).unwrap();
    sessions.revoke_everything().unwrap();
    assert!(sessions.snapshot(&id).unwrap().is_none());
}
