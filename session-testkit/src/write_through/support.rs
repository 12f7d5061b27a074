use std::{future::Future, time::Duration};

use session_core::{
    Backlog, Codec, Error, MemorySecondary, PrimaryStore as _, SecondaryPolicy, SessionHandle,
    SessionId, Sessions, SessionsBuilder, WriteThrough,
};

use crate::{
    flaky::Flaky,
    primary::{PrimaryFixture, meanwhile, ms, settings},
};

pub(super) const NAME: &str = "mirror";

/// A primary with a secondary that fails as the test says.
pub(super) struct Through<'a, F: PrimaryFixture> {
    pub(super) fixture: &'a F,
    pub(super) sessions: Sessions,
    pub(super) mirror: Flaky<MemorySecondary>,
}

pub(super) fn mirror<F: PrimaryFixture>(fixture: &F) -> Flaky<MemorySecondary> {
    Flaky::new(MemorySecondary::with_clock(fixture.store().clock()))
}

pub(super) async fn eventual<F: PrimaryFixture>(fixture: &F) -> Through<'_, F> {
    through(fixture, SecondaryPolicy::eventual()).await
}

pub(super) async fn through<F: PrimaryFixture>(
    fixture: &F,
    policy: SecondaryPolicy,
) -> Through<'_, F> {
    let mirror = mirror(fixture);
    let builder = settings(fixture, fixture.store()).secondary(NAME, mirror.clone(), policy);
    Through {
        sessions: open(builder).await,
        fixture,
        mirror,
    }
}

pub(super) async fn open(builder: SessionsBuilder) -> Sessions {
    builder.open().await.expect("it can be opened")
}

impl<F: PrimaryFixture> Through<'_, F> {
    /// The same sessions in another process, or another time in this one.
    pub(super) async fn elsewhere(&self, policy: SecondaryPolicy) -> Sessions {
        let mirror = self.mirror.clone();
        let builder = match self.fixture.elsewhere().await {
            Some(store) => settings(self.fixture, store),
            None => settings(self.fixture, self.fixture.store()),
        };
        open(builder.secondary(NAME, mirror, policy)).await
    }

    pub(super) fn write_through(&self) -> WriteThrough {
        let through = self.sessions.write_through();
        through.expect("it is written through")
    }

    pub(super) async fn stored(&self, value: u64) -> (SessionId, SessionHandle) {
        let mut session = self.sessions.create();
        let (id, handle) = (session.id().clone(), session.handle());
        session.insert("n", value).expect("it fits");
        session.commit().await.expect("it is stored");
        (id, handle)
    }

    pub(super) async fn set(&self, id: &SessionId, value: u64) {
        let set = self.sessions.with(id, async |session| {
            Ok::<_, Error>(session.insert("n", value)?)
        });
        set.await.expect("it is stored");
    }

    /// What the secondary shows.
    pub(super) async fn shown(&self, session: SessionHandle) -> Option<u64> {
        let loaded = self.write_through().load(NAME, session).await;
        let (_, values) = loaded.expect("it can be asked")?;
        values.get("n").expect("it is a number")
    }

    /// Waits until the secondary shows it.
    pub(super) async fn shows(&self, session: SessionHandle, value: Option<u64>) {
        let shown = async || self.shown(session).await == value;
        eventually(self.fixture, shown, "the secondary shows what is stored").await;
    }

    pub(super) async fn backlog(&self) -> Backlog {
        let backlog = self.write_through().backlog(NAME).await;
        backlog.expect("it can be counted")
    }

    /// Waits until nothing is noted any more.
    pub(super) async fn is_empty(&self) {
        let empty = async || self.backlog().await.sessions == 0;
        eventually(self.fixture, empty, "the outbox is empty").await;
    }

    pub(super) async fn drain(&self) {
        let through = self.write_through();
        let drain = through.drain(Duration::from_secs(60));
        let drained = meanwhile(self.fixture, drain).await;
        drained.expect("everything is delivered");
    }
}

/// Waits until something is true, for a minute of the fixture's time.
pub(super) async fn eventually<F: PrimaryFixture, T>(
    fixture: &F,
    is_true: impl Fn() -> T + Send,
    what: &str,
) where
    T: Future<Output = bool> + Send,
{
    for _ in 0..1_200 {
        if is_true().await {
            return;
        }
        fixture.pass(ms(50)).await;
    }
    panic!("never: {what}");
}

pub(super) fn other_codec<F: PrimaryFixture>() -> Codec {
    match F::CODEC {
        Codec::Json => Codec::MessagePack,
        _ => Codec::Json,
    }
}
