//! Sessions that are shared with sanic-cookies.

mod beside_python; // what Python writes meanwhile
mod conformance; // the suite of every primary store
mod failing_calls; // each call of each script made to fail
mod formats; // what stands on the server
mod lost_answers; // exactly-once
mod scripts; // each script's header is its contract

use session_core::{Error, SessionId, Sessions};
use session_redis::SanicStore;
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, fresh_prefix, patient, shared};

/// A store with prefixes of its own, and the server that it is on.
struct Bench {
    server: &'static RedisServer,
    prefix: String,
    store: SanicStore,
    sessions: Sessions,
}

impl Bench {
    async fn new() -> TestResult<Self> {
        let (server, prefix) = (shared().await?, fresh_prefix());
        let store = connect(server, &prefix).await?;
        let sessions = Sessions::new(store.clone());
        Ok(Self {
            server,
            prefix,
            store,
            sessions,
        })
    }

    /// A session as Python begins it.
    async fn begun_in_python(&self, json: &str, seconds: u64) -> TestResult<SessionId> {
        let id = SessionId::random_hex();
        self.setex(&id, json, seconds).await?;
        Ok(id)
    }

    /// What sanic-cookies sends to write a session.
    async fn setex(&self, id: &SessionId, json: &str, seconds: u64) -> TestResult {
        let mut connection = self.server.connection().await?;
        let mut set = redis::cmd("SETEX");
        set.arg(self.record(id)).arg(seconds).arg(json);
        Ok(set.query_async(&mut connection).await?)
    }

    /// What sanic-cookies sends to read a session.
    async fn get(&self, id: &SessionId) -> TestResult<Option<String>> {
        let mut connection = self.server.connection().await?;
        let get = redis::cmd("GET").arg(self.record(id)).to_owned();
        Ok(get.query_async(&mut connection).await?)
    }

    /// How long the record stands yet, in milliseconds.
    async fn left_ms(&self, key: &str) -> TestResult<i64> {
        let mut connection = self.server.connection().await?;
        let left = redis::cmd("PTTL").arg(key).to_owned();
        Ok(left.query_async(&mut connection).await?)
    }

    fn record(&self, id: &SessionId) -> String {
        let [record, _] = self.store.record_keys(id.key());
        assert_eq!(record, format!("{}theirs:{}", self.prefix, id.expose()));
        record
    }

    fn head(&self, id: &SessionId) -> String {
        let [_, head] = self.store.record_keys(id.key());
        head
    }
}

async fn connect(server: &RedisServer, prefix: &str) -> Result<SanicStore, Error> {
    SanicStore::builder()
        .key_prefix(format!("{prefix}theirs:"))
        .redis(patient(prefix))
        .connect(&server.url())
        .await
}
