//! What is secret never reaches a log, an error or a `Debug`.

use std::{
    fmt::Debug,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_core::{Login, Observer, SealingKey, SealingKeys, SessionId, Sessions};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{TestResult, builder, set, shared};

/// All that was logged and shown.
#[derive(Clone, Debug, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Shown {
    fn add(&self, what: &impl Debug) {
        self.append(format!("{what:?}\n{what:#?}\n").as_bytes());
    }

    fn error(&self, error: &(dyn std::error::Error + 'static)) {
        self.add(&error);
        self.append(crate::support::chain(error).as_bytes());
    }

    fn append(&self, bytes: &[u8]) {
        let mut shown = self.0.lock().expect("nothing panics here");
        shown.extend_from_slice(bytes);
    }

    fn text(&self) -> String {
        let shown = self.0.lock().expect("nothing panics here");
        String::from_utf8_lossy(&shown).into_owned()
    }
}

impl io::Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Shown {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Observer for Shown {
    fn notice(&self, event: &session_core::Event) {
        self.add(event);
    }
}

const VALUE: &str = "a value that nobody may see";
const USER: &str = "the-user-whom-nobody-may-see";
const CREDENTIAL: &str = "a credential that nobody may see";

#[tokio::test]
async fn a_full_trace_of_all_operations_holds_no_secret() -> TestResult {
    let shown = Shown::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(shown.clone())
        .finish();
    // This runtime has one thread, and so all of its tasks are seen.
    let _tracing = tracing::subscriber::set_default(subscriber);
    let key = SealingKey::generate();
    let store = builder().connect(&shared().await?.url()).await?;
    let sealed = Sessions::builder(store.clone())
        .seal(SealingKeys::new(&key))
        .hash_ids(&key)
        .observer(shown.clone())
        .build()?;
    let plain = Sessions::builder(store.clone())
        .observer(shown.clone())
        .build()?;
    let mut secrets = vec![VALUE.to_owned(), USER.to_owned(), CREDENTIAL.to_owned()];
    secrets.push(key.expose_base64().to_string());
    shown.add(&key);
    for sessions in [&plain, &sealed] {
        shown.add(sessions);
        for id in every_operation(sessions, &shown).await? {
            secrets.push(id.expose().to_owned());
            secrets.push(URL_SAFE_NO_PAD.encode(id.key().digest()));
            let hex = id.key().digest().map(|byte| format!("{byte:02x}"));
            secrets.push(hex.concat());
            shown.add(&id);
        }
    }
    // A record that somebody else has put there, with a secret of theirs.
    let (id, ()) = plain
        .with_new(async |session| session.insert("secret", VALUE))
        .await?;
    set(
        shared().await?,
        &store.record_key(id.key()),
        VALUE.as_bytes(),
    )
    .await?;
    shown.error(&plain.snapshot(&id).await.expect_err("it is no record"));
    shown.error(&plain.lock(&id).await.expect_err("it is no record"));
    secrets.push(id.expose().to_owned());

    let text = shown.text();
    for seen in ["session used without its lock", "LoggedIn", "RecordCorrupt"] {
        assert!(text.contains(seen), "{seen} is not there:\n{text}");
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is there:\n{text}");
    }
    Ok(())
}

async fn every_operation(sessions: &Sessions, shown: &Shown) -> TestResult<Vec<SessionId>> {
    let mut guard = sessions.create();
    guard.insert("secret", VALUE)?;
    let id = guard.id().clone();
    shown.add(&guard);
    shown.add(&guard.commit().await?);
    let guard = sessions.lock(&id).await?;
    shown.error(&guard.get::<u32>("secret").expect_err("it is a text"));
    let waiter = sessions.lock(&id).wait_at_most(Duration::from_millis(20));
    shown.error(&waiter.await.expect_err("it is held"));
    guard.discard().await?;
    sessions
        .update(&id, |data| data.insert("other", VALUE))
        .await?;
    let mut unlocked = sessions.unlocked().load(&id).await?.ok_or("gone")?;
    unlocked.insert("third", VALUE)?;
    shown.add(&unlocked);
    unlocked.save().await?;
    shown.add(&sessions.snapshot(&id).await?);

    let mut guard = sessions.lock(&id).await?;
    let second = guard.regenerate();
    shown.add(&guard.commit().await?);
    shown.error(&sessions.lock(&id).await.expect_err("it has another ID"));
    let ticket = sessions.begin_login(USER).await?;
    let login = Login::new(USER)?
        .credential(CREDENTIAL.as_bytes())
        .ticket(ticket);
    shown.add(&login);
    let mut guard = sessions.lock(&second).await?;
    let third = guard.login_with(login.clone(), &VALUE)?;
    shown.add(&guard.commit().await?);
    let user = sessions.user(USER)?;
    shown.add(&(&user, user.list().await?));
    let mut late = sessions.lock(&third).await?;
    late.insert("secret", "other")?;
    user.revoke_all().await?;
    shown.error(&late.commit().await.expect_err("it is revoked"));
    let mut guard = sessions.create();
    let fourth = guard.login_with(login, &VALUE)?;
    shown.error(&guard.commit().await.expect_err("the ticket is old"));
    user.disable().await?;
    shown.error(&sessions.begin_login(USER).await.expect_err("disabled"));
    user.enable().await?;
    sessions.destroy(&second).await?;
    Ok(vec![id, second, third, fourth])
}
