//! A secondary of one's own: whatever can compare two numbers can be written through to. This one keeps text files.
//!
//! `cargo run --example custom_store`

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::{fs, path::PathBuf, sync::Mutex};

use async_trait::async_trait;
use latchkey::{
    Applied, Change, Codec, Fault, MemoryStore, Row, SecondaryPolicy, SecondaryStore,
    SessionHandle, Sessions, StoreError, StoreTime,
};

/// One file for each session: its version, and its values as JSON. The mutex makes `apply` one step.
#[derive(Debug)]
struct Files(PathBuf, Mutex<()>);

impl Files {
    fn read(&self, session: SessionHandle) -> Option<(u64, String)> {
        let text = fs::read_to_string(self.0.join(session.to_string())).ok()?;
        let (version, values) = text.split_once('\n')?;
        Some((version.parse().ok()?, values.to_owned()))
    }
}

#[async_trait]
impl SecondaryStore for Files {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        let _one_at_a_time = self
            .1
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let version = change.version.number();
        if self
            .read(change.session)
            .is_some_and(|(known, _)| known >= version)
        {
            return Ok(Applied::Known);
        }
        // An end leaves its version, so that nothing older brings the session back.
        let values = change
            .row
            .as_ref()
            .map_or("".into(), |row| String::from_utf8_lossy(&row.body));
        fs::write(
            self.0.join(change.session.to_string()),
            format!("{version}\n{values}"),
        )
        .map_err(|error| StoreError::new("write a file", "disk", Fault::Full).with_source(error))?;
        Ok(Applied::Changed)
    }

    async fn seen(&self, _: SessionHandle, _: StoreTime) -> Result<(), StoreError> {
        Ok(()) // These files do not say when a session ends.
    }

    async fn load(&self, _: SessionHandle) -> Result<Option<Row>, StoreError> {
        Ok(None) // Nobody asks them.
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("latchkey-custom-store-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let handle = {
        let policy = SecondaryPolicy::required()
            .codec(Codec::Json)
            .without(["password_hint"]);
        let sessions = Sessions::builder(MemoryStore::new())
            .secondary("files", Files(folder.clone(), Mutex::default()), policy)
            .open()
            .await?;
        let made = sessions.with_new(async |session| -> latchkey::Result<SessionHandle> {
            session.insert("cart", ["tea", "cups"])?;
            session.insert("password_hint", "not for everybody")?;
            Ok(session.handle())
        });
        made.await?.1
    };
    let written = fs::read_to_string(folder.join(handle.to_string()))?;
    println!("{written}");
    fs::remove_dir_all(&folder)?;
    assert!(written.contains("tea") && !written.contains("hint"));
    Ok(())
}
