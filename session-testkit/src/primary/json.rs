use super::*;

/// A fixture whose sessions are stored as JSON: `primary_store_suite!(InJson<MyFixture>)`.
#[derive(Debug)]
pub struct InJson<F>(F);

impl<F: PrimaryFixture> PrimaryFixture for InJson<F> {
    type Store = F::Store;

    const PROMISES: Capabilities = F::PROMISES;
    const SEALED: bool = F::SEALED;
    const CODEC: Codec = Codec::Json;

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
        self.0.configure(builder).codec(Codec::Json)
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
