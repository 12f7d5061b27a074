use session_core::{SealingKey, SealingKeys};

use super::*;

/// A fixture whose sessions are sealed at rest: `primary_store_suite!(Sealed<MyFixture>)`.
///
/// Shows that the store hands on bodies and headers bit for bit, and that sealing breaks no promise.
#[derive(Debug)]
pub struct Sealed<F>(F);

impl<F: PrimaryFixture> PrimaryFixture for Sealed<F> {
    type Store = F::Store;

    const PROMISES: Capabilities = F::PROMISES;
    const SEALED: bool = true;
    const CODEC: Codec = F::CODEC;

    async fn fresh() -> Self {
        Self(F::fresh().await)
    }

    fn store(&self) -> F::Store {
        self.0.store()
    }

    async fn elsewhere(&self) -> Option<F::Store> {
        self.0.elsewhere().await
    }

    fn configure(&self, builder: SessionsBuilder) -> SessionsBuilder {
        // All processes of a test have the same key.
        let key = SealingKey::from_bytes(b"a key for tests, of 32 bytes now");
        let keys = SealingKeys::new(&key.expect("it has 32 bytes"));
        self.0.configure(builder).seal(keys)
    }

    async fn pass(&self, span: Duration) {
        self.0.pass(span).await;
    }

    async fn plant(&self, key: &SessionKey, bytes: &[u8]) -> bool {
        self.0.plant(key, bytes).await
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        self.0.keys_without_ttl().await
    }
}
