//! What stands in a user's list, and what that decides.

use std::time::Duration;

use redis::Value;
use session_core::{CommitError, Login, SessionHandle, SessionId, Sessions, StoreTime, Timeouts};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use super::support::logged_in;
use crate::support::{TestResult, fresh_prefix, only_key};

/// Sessions under a prefix of their own, and a look at the server.
struct Bench {
    server: &'static RedisServer,
    prefix: String,
    store: RedisStore,
    sessions: Sessions,
}

impl Bench {
    async fn on(server: &'static RedisServer) -> TestResult<Self> {
        let prefix = fresh_prefix();
        let store = RedisStore::builder().prefix(&prefix);
        let store = store.connect(&server.url()).await?;
        let sessions = Sessions::new(store.clone());
        Ok(Self {
            server,
            prefix,
            store,
            sessions,
        })
    }

    async fn log_in(&self) -> TestResult<(SessionId, SessionHandle)> {
        let id = logged_in(&self.sessions, Login::new("ada")?).await?;
        let snapshot = self.sessions.snapshot(&id).await?.ok_or("it is gone")?;
        Ok((id, snapshot.handle()))
    }

    /// The key of what the server knows of the only user.
    async fn of_user(&self, kind: &str) -> TestResult<String> {
        only_key(self.server, &self.prefix, kind).await
    }

    async fn command(&self, command: &[&str]) -> TestResult<Value> {
        Ok(self.server.command(command).await?)
    }

    async fn members(&self) -> TestResult<Vec<Vec<u8>>> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(self.of_user("user").await?).arg(0).arg(-1);
        Ok(range
            .query_async(&mut self.server.connection().await?)
            .await?)
    }

    /// Writes bytes into a record.
    async fn overwrite(&self, id: &SessionId, at: usize, bytes: &[u8]) -> TestResult {
        let mut set = redis::cmd("SETRANGE");
        set.arg(self.store.record_key(id.key())).arg(at).arg(bytes);
        let _: u64 = set
            .query_async(&mut self.server.connection().await?)
            .await?;
        Ok(())
    }

    async fn kind(&self, id: &SessionId) -> TestResult<String> {
        let mut get = redis::cmd("GETRANGE");
        get.arg(self.store.record_key(id.key())).arg(27).arg(27);
        Ok(get
            .query_async(&mut self.server.connection().await?)
            .await?)
    }
}

async fn each_server() -> TestResult<[&'static RedisServer; 2]> {
    Ok([
        RedisServer::shared().await?,
        RedisServer::builder().cluster().shared().await?,
    ])
}

/// A session that is being logged in again across slots is a frozen copy for a moment. If the login is refused, it lives
/// again: so whoever revoked it meanwhile has to have ended it.
#[tokio::test]
async fn a_session_that_is_frozen_for_a_login_is_revoked() -> TestResult {
    for server in each_server().await? {
        for which in ["one", "others", "all", "disabled"] {
            let bench = Bench::on(server).await?;
            let (id, handle) = bench.log_in().await?;
            bench.overwrite(&id, 27, b"F").await?;
            let ada = bench.sessions.user("ada")?;
            let ended = match which {
                "one" => u64::from(ada.revoke(handle).await?),
                "others" => ada.revoke_others(SessionHandle::random()).await?,
                "all" => ada.revoke_all().await?,
                _ => ada.disable().await?,
            };
            assert_eq!(ended, 1, "{which}");
            assert_eq!(bench.kind(&id).await?, "T", "{which}");
            assert!(bench.sessions.snapshot(&id).await?.is_none());
            ada.enable().await?;
        }
    }
    Ok(())
}

/// A session that is not in its user's list any more is about to be ended: it must not slip away under another ID.
#[tokio::test]
async fn a_session_that_is_in_no_list_gets_no_other_id() -> TestResult {
    for server in each_server().await? {
        for login in [None, Some("ada"), Some("bob")] {
            let bench = Bench::on(server).await?;
            let (id, _) = bench.log_in().await?;
            let list = bench.of_user("user").await?;
            bench.command(&["DEL", &list]).await?;
            let mut guard = bench.sessions.lock(&id).await?;
            let new = match login {
                None => guard.regenerate(),
                Some(user) => guard.login(user, &())?,
            };
            let refused = guard.commit().await;
            assert!(
                matches!(refused, Err(CommitError::Destroyed)),
                "{login:?}: {refused:?}"
            );
            assert!(bench.sessions.snapshot(&new).await?.is_none());
            assert_eq!(bench.kind(&id).await?, "L", "it is as it was");
        }
    }
    Ok(())
}

/// What has run out leaves the list with the next look at it, and with the next login.
#[tokio::test]
async fn entries_past_their_score_are_pruned() -> TestResult {
    for server in each_server().await? {
        for by_login in [false, true] {
            let bench = Bench::on(server).await?;
            let login = || TestResult::Ok(Login::new("ada")?.label("browser", "Firefox")?);
            let kept = logged_in(&bench.sessions, login()?).await?;
            let mut brief = bench.sessions.create();
            let span = Duration::from_millis(50);
            brief.set_timeouts(Timeouts::new(span, span)?);
            let id = brief.login_with(login()?, &())?;
            brief.commit().await?;
            assert_eq!(bench.members().await?.len(), 2);
            while !bench.kind(&id).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let left = if by_login {
                logged_in(&bench.sessions, login()?).await?;
                2
            } else {
                assert_eq!(bench.sessions.user("ada")?.list().await?.len(), 1);
                1
            };
            let hash = bench.store.record_key(id.key());
            let hash = &hash.as_bytes()[hash.len() - 43..];
            let members = bench.members().await?;
            assert_eq!(members.len(), left);
            assert!(members.iter().all(|member| !member.ends_with(hash)));
            let labels = bench.of_user("labels").await?;
            let labels = bench.command(&["HLEN", &labels]).await?;
            assert_eq!(labels, Value::Int(left as i64), "a label of nothing");
            assert!(bench.sessions.snapshot(&kept).await?.is_some());
        }
    }
    Ok(())
}

/// A new ID frees the lock of the old one and tells every process that waits for it.
#[tokio::test]
async fn whoever_waits_for_an_old_id_is_told_at_once() -> TestResult {
    use futures_util::StreamExt as _;

    for server in each_server().await? {
        for login in [None, Some("ada")] {
            let bench = Bench::on(server).await?;
            let (id, ()) = bench
                .sessions
                .with_new(async |session| session.insert("n", 0))
                .await?;
            let mut guard = bench.sessions.lock(&id).await?;
            let lock = bench.of_user("lock").await?;
            let queue = lock.replace(":lock:", ":queue:");
            let client = redis::Client::open(server.url())?;
            let mut waiting = client.get_async_pubsub().await?;
            let channels = [
                format!("{}-one", bench.prefix),
                format!("{}-two", bench.prefix),
            ];
            for channel in &channels {
                waiting.subscribe(channel).await?;
                let process = format!("an owner's value\u{1}\u{1}{channel}");
                bench.command(&["ZADD", &queue, "1", &process]).await?;
            }
            bench.command(&["PEXPIRE", &queue, "60000"]).await?;
            match login {
                None => guard.regenerate(),
                Some(user) => guard.login(user, &())?,
            };
            guard.commit().await?;
            let told = waiting.on_message().take(2).collect::<Vec<_>>();
            let told = tokio::time::timeout(Duration::from_secs(20), told).await?;
            let told: Vec<_> = told.iter().map(|told| told.get_channel_name()).collect();
            assert_eq!(told, channels);
            let left = bench.command(&["EXISTS", &lock, &queue]).await?;
            assert_eq!(left, Value::Int(0), "something of the old ID is held");
        }
    }
    Ok(())
}

/// Epochs are forgotten after a day, and so a ticket that is older says nothing.
#[tokio::test]
async fn a_ticket_of_yesterday_is_superseded() -> TestResult {
    let bench = Bench::on(RedisServer::shared().await?).await?;
    let mut ticket = bench.sessions.begin_login("ada").await?;
    let mut late = bench.sessions.create();
    let hour = Duration::from_secs(3600);
    let issued = ticket.issued.as_millis();
    for (age, is_late) in [(23, false), (25, true)] {
        let age = u64::try_from((age * hour).as_millis())?;
        ticket.issued = StoreTime::from_millis(issued - age);
        late.login_with(Login::new("ada")?.ticket(ticket), &())?;
        let done = late.commit().await;
        let refused = matches!(done, Err(CommitError::Superseded));
        assert_eq!(refused, is_late, "{done:?}");
        late = bench.sessions.create();
    }
    Ok(())
}
