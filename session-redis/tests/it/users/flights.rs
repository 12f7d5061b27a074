//! How often logins, new IDs and revocations go to the server and back, counted at the wire.

use std::error::Error;

use session_core::{Login, SessionId, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{Proxy, RedisServer};

use super::support::{far_from, fresh_user, logged_in, one_and_node, user_far_from};
use crate::support::{TestResult, counter, fresh_prefix};

struct Wire {
    proxy: Proxy,
    sessions: Sessions,
}

impl Wire {
    async fn tap(server: &RedisServer) -> TestResult<Self> {
        let proxy = Proxy::start(server).await?;
        let store = RedisStore::builder().prefix(fresh_prefix());
        let sessions = Sessions::new(store.connect(&proxy.url()).await?);
        Ok(Self { proxy, sessions })
    }

    /// What `act` sends, flight by flight, and what it gives.
    async fn flights<T, E>(
        &self,
        act: impl Future<Output = Result<T, E>>,
    ) -> TestResult<(Vec<String>, T)>
    where
        Box<dyn Error>: From<E>,
    {
        self.proxy.clear_log();
        let given = act.await?;
        let flights = self.proxy.flights();
        let names = flights.iter().map(|flight| flight.names().join(" "));
        Ok((names.collect(), given))
    }

    async fn log_in(&self, id: &SessionId, user: &str) -> TestResult {
        let mut session = self.sessions.lock(id).await?;
        session.login(user, &())?;
        session.commit().await?;
        Ok(())
    }
}

const LOCK: &str = "SET GET";
const SCRIPT: &str = "EVALSHA";

#[tokio::test]
async fn a_session_that_begins_with_a_login_takes_one_flight() -> TestResult {
    for server in one_and_node().await? {
        let wire = Wire::tap(server).await?;
        let user = fresh_user();
        let create = logged_in(&wire.sessions, Login::new(&user)?);
        assert_eq!(wire.flights(create).await?.0, [SCRIPT]);
        let begin = wire.sessions.begin_login(&user);
        assert_eq!(wire.flights(begin).await?.0, [SCRIPT]);
    }
    Ok(())
}

#[tokio::test]
async fn a_logout_takes_one_flight_or_one_beyond_the_lock() -> TestResult {
    for server in one_and_node().await? {
        let wire = Wire::tap(server).await?;
        let user = fresh_user();
        let login = || Login::new(&user);
        let id = logged_in(&wire.sessions, login()?).await?;
        let destroy = wire.flights(wire.sessions.destroy(&id)).await?;
        assert_eq!(destroy, (vec![SCRIPT.to_owned()], ()));
        let id = logged_in(&wire.sessions, login()?).await?;
        let logout = async {
            let mut session = wire.sessions.lock(&id).await?;
            session.logout();
            TestResult::Ok(session.commit().await?)
        };
        assert_eq!(wire.flights(logout).await?.0, [LOCK, SCRIPT]);
    }
    Ok(())
}

#[tokio::test]
async fn listing_and_revoking_take_one_flight() -> TestResult {
    for server in one_and_node().await? {
        let wire = Wire::tap(server).await?;
        let name = fresh_user();
        let mut handles = Vec::new();
        for _ in 0..4 {
            let id = logged_in(&wire.sessions, Login::new(&name)?).await?;
            let snapshot = wire.sessions.snapshot(&id).await?.ok_or("gone")?;
            handles.push(snapshot.handle());
        }
        let user = wire.sessions.user(&name)?;
        let one = || vec![SCRIPT.to_owned()];
        let (flights, list) = wire.flights(user.list()).await?;
        assert_eq!((flights, list.len()), (one(), 4));
        let revoke = wire.flights(user.revoke(handles[0])).await?;
        assert_eq!(revoke, (one(), true));
        let others = wire.flights(user.revoke_others(handles[1])).await?;
        assert_eq!(others, (one(), 2));
        assert_eq!(wire.flights(user.revoke_all()).await?, (one(), 1));
        assert_eq!(wire.flights(user.disable()).await?, (one(), 0));
        assert_eq!(wire.flights(user.enable()).await?, (one(), ()));
    }
    Ok(())
}

#[tokio::test]
async fn a_new_id_takes_one_flight_beyond_the_lock_and_a_read_through_the_old_one_takes_two()
-> TestResult {
    for server in one_and_node().await? {
        let wire = Wire::tap(server).await?;
        let id = counter(&wire.sessions).await?;
        let regenerate = async {
            let mut session = wire.sessions.lock(&id).await?;
            session.regenerate();
            TestResult::Ok(session.commit().await?)
        };
        assert_eq!(wire.flights(regenerate).await?.0, [LOCK, SCRIPT]);
        let (flights, read) = wire.flights(wire.sessions.snapshot(&id)).await?;
        assert_eq!(flights, ["PTTL GET", "PTTL GET"]);
        assert!(read.ok_or("gone")?.is_rotated());
    }
    Ok(())
}

#[tokio::test]
async fn a_login_takes_one_flight_beyond_the_lock_where_a_script_may_use_both_ids() -> TestResult {
    let [one, node] = one_and_node().await?;
    let wire = Wire::tap(one).await?;
    let (user, other) = (fresh_user(), fresh_user());
    let id = far_from(&wire.sessions, &user).await?;
    let login = wire.log_in(&id, &user);
    assert_eq!(wire.flights(login).await?.0, [LOCK, SCRIPT]);
    let id = logged_in(&wire.sessions, Login::new(&other)?).await?;
    let login = wire.log_in(&id, &user);
    assert_eq!(wire.flights(login).await?.0, [LOCK, SCRIPT], "another user");

    let wire = Wire::tap(node).await?;
    let id = logged_in(&wire.sessions, Login::new(&user)?).await?;
    let login = wire.log_in(&id, &user);
    assert_eq!(wire.flights(login).await?.0, [LOCK, SCRIPT], "in one slot");
    Ok(())
}

#[tokio::test]
async fn a_login_across_slots_takes_two_flights_beyond_the_lock() -> TestResult {
    let [_, node] = one_and_node().await?;
    let wire = Wire::tap(node).await?;
    let user = fresh_user();
    let id = far_from(&wire.sessions, &user).await?;
    let login = wire.log_in(&id, &user);
    assert_eq!(wire.flights(login).await?.0, [LOCK, SCRIPT, SCRIPT]);
    Ok(())
}

/// One more than for a session of nobody: until it is known that the login is not refused, the session of the earlier
/// user must be such that it can live again.
#[tokio::test]
async fn a_change_of_users_across_slots_takes_three_flights_beyond_the_lock() -> TestResult {
    let [_, node] = one_and_node().await?;
    let wire = Wire::tap(node).await?;
    let user = fresh_user();
    let other = user_far_from(&wire.sessions, &user)?;
    let id = logged_in(&wire.sessions, Login::new(&other)?).await?;
    let login = wire.log_in(&id, &user);
    assert_eq!(wire.flights(login).await?.0, [LOCK, SCRIPT, SCRIPT, SCRIPT]);
    Ok(())
}
