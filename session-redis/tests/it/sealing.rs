//! What sealed sessions leave on a real server, and what becomes of them when somebody writes there.

use session_core::{
    AcquireError, BadRecord, Error, ReadError, SealingCipher, SealingKey, SealingKeys,
    SessionGuard, SessionId, Sessions, WithError,
};
use session_redis::RedisStore;
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, builder, get, set, shared};

const SECRET: &str = "attack at dawn";

struct Bench {
    server: &'static RedisServer,
    store: RedisStore,
    sessions: Sessions,
}

impl Bench {
    async fn new(keys: SealingKeys) -> TestResult<Self> {
        let server = shared().await?;
        let store = builder().connect(&server.url()).await?;
        let sessions = Sessions::builder(store.clone()).seal(keys).build()?;
        Ok(Self {
            server,
            store,
            sessions,
        })
    }

    /// A session that holds the secret as often as it takes to make its record as long as that.
    async fn session(&self, len: usize) -> Result<SessionId, Error> {
        let text = SECRET.repeat(len / SECRET.len() + 1);
        let write = async |session: &mut SessionGuard| -> Result<(), Error> {
            Ok(session.insert("secret plan", &text)?)
        };
        let (id, ()) = self.sessions.with_new(write).await?;
        Ok(id)
    }

    async fn raw(&self, id: &SessionId) -> TestResult<Vec<u8>> {
        let record = get(self.server, &self.store.record_key(id.key())).await?;
        Ok(record.ok_or("no record")?)
    }

    async fn plant(&self, id: &SessionId, record: &[u8]) -> TestResult {
        set(self.server, &self.store.record_key(id.key()), record).await
    }

    /// The error is the same typed one on every way, names the session by a hash, and leaves the record as it is.
    async fn assert_refused(&self, id: &SessionId, fault: BadRecord) -> TestResult {
        let before = self.raw(id).await?;
        let mut errors = Vec::new();
        match self.sessions.snapshot(id).await {
            Err(ReadError::Record(error)) => errors.push(error),
            other => return Err(format!("{other:?}").into()),
        }
        match self.sessions.lock(id).await {
            Err(AcquireError::Record(error)) => errors.push(error),
            other => return Err(format!("{other:?}").into()),
        }
        match self.sessions.update(id, |data| data.insert("n", 1)).await {
            Err(WithError::Acquire(AcquireError::Record(error))) => errors.push(error),
            other => return Err(format!("{other:?}").into()),
        }
        for error in errors {
            assert_eq!(error.fault, fault);
            assert_eq!(error.key, id.key().fingerprint());
        }
        assert_eq!(self.raw(id).await?, before);
        Ok(())
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

fn random_keys() -> SealingKeys {
    SealingKeys::new(&SealingKey::generate())
}

#[tokio::test]
async fn nothing_of_a_value_stands_on_the_server() -> TestResult {
    for cipher in [SealingCipher::XChaCha20Poly1305, SealingCipher::Aes256Gcm] {
        let bench = Bench::new(random_keys().cipher(cipher)).await?;
        // Through the script, and staged beside it.
        for len in [10, 1_000, 100_000] {
            let id = bench.session(len).await?;
            let created = bench.raw(&id).await?;
            let count = async |session: &mut SessionGuard| -> Result<(), Error> {
                Ok(session.modify("count", |count: &mut u32| *count += 1)?)
            };
            bench.sessions.with(&id, count).await?;
            let committed = bench.raw(&id).await?;
            bench
                .sessions
                .update(&id, |data| data.insert("count", 2))
                .await?;
            let updated = bench.raw(&id).await?;
            for raw in [created, committed, updated] {
                assert!(raw.len() > len);
                for shown in ["attack", "plan", "count"] {
                    assert!(!contains(&raw, shown), "{shown} can be read in the record");
                }
            }
            let snapshot = bench.sessions.snapshot(&id).await?.ok_or("no session")?;
            let text: Option<String> = snapshot.get("secret plan")?;
            assert!(text.is_some_and(|text| text.len() > len));
            assert_eq!(snapshot.get::<u32>("count")?, Some(2));
        }
    }
    Ok(())
}

/// The same look at what is not sealed finds the text: so it would have found it above.
#[tokio::test]
async fn without_keys_a_value_can_be_read_on_the_server() -> TestResult {
    let bench = Bench::new(random_keys().open_only()).await?;
    let id = bench.session(1_000).await?;
    assert!(contains(&bench.raw(&id).await?, SECRET));
    Ok(())
}

#[tokio::test]
async fn records_swapped_between_two_sessions_are_refused() -> TestResult {
    let bench = Bench::new(random_keys()).await?;
    let (mine, others) = (bench.session(10).await?, bench.session(5_000).await?);
    let (my, other) = (bench.raw(&mine).await?, bench.raw(&others).await?);
    bench.plant(&mine, &other).await?;
    bench.plant(&others, &my).await?;
    for id in [&mine, &others] {
        bench.assert_refused(id, BadRecord::BrokenSeal).await?;
    }
    bench.plant(&mine, &my).await?;
    assert!(bench.sessions.snapshot(&mine).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn tampered_and_truncated_records_are_refused_and_left_alone() -> TestResult {
    let bench = Bench::new(random_keys()).await?;
    let id = bench.session(10).await?;
    let good = bench.raw(&id).await?;
    let body = 70 + 12 * usize::from(good[69]);
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (bytes, fault) in [
        (flipped(good.len() - 1), BadRecord::BrokenSeal),
        (flipped(body + 40), BadRecord::BrokenSeal),
        (flipped(body + 10), BadRecord::BrokenSeal),
        (flipped(50), BadRecord::BrokenSeal),
        (flipped(30), BadRecord::BrokenSeal),
        (flipped(68), BadRecord::Unsealed),
        (good[..good.len() - 1].to_vec(), BadRecord::BrokenSeal),
        (good[..body + 48].to_vec(), BadRecord::CutOff),
        (good[..body].to_vec(), BadRecord::CutOff),
    ] {
        bench.plant(&id, &bytes).await?;
        bench.assert_refused(&id, fault).await?;
    }
    bench.sessions.destroy(&id).await?;
    assert!(bench.sessions.snapshot(&id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn keys_are_replaced_while_sessions_live_on() -> TestResult {
    let (old, new) = (SealingKey::generate(), SealingKey::generate());
    let bench = Bench::new(SealingKeys::new(&old)).await?;
    let open = |keys| Sessions::builder(bench.store.clone()).seal(keys).build();
    let both = open(SealingKeys::new(&new).opening(&old))?;
    let id = bench.session(10).await?;
    both.lock(&id).await?.commit().await?;
    let raw = bench.raw(&id).await?;
    assert!(raw.windows(8).any(|part| part == new.id().as_bytes()));
    bench
        .assert_refused(&id, BadRecord::UnknownSealingKey { id: new.id() })
        .await?;
    assert!(open(SealingKeys::new(&new))?.snapshot(&id).await?.is_some());
    Ok(())
}
