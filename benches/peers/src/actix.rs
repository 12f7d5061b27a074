use std::{collections::HashMap, sync::Arc};

use actix_session::storage::{RedisSessionStore, SessionKey, SessionStore as _};
use actix_web::cookie::time::Duration;
use latchkey_benches::{Record, Result, Subject};

use crate::careful::Named;

/// actix-session's store on Redis, 0.11: load and update, as its middleware does.
///
/// Its values are JSON already when they come to the store.
#[derive(Clone)]
pub(crate) struct Actix(Arc<RedisSessionStore>);

const TTL: Duration = Duration::minutes(30);

impl Actix {
    /// On its own one connection, as it makes it.
    pub(crate) async fn new(url: &str) -> Result<Self> {
        Ok(Self(Arc::new(RedisSessionStore::new(url).await?)))
    }

    async fn load(&self, key: &SessionKey) -> Result<HashMap<String, String>> {
        Ok(self.0.load(key).await?.ok_or("the session is gone")?)
    }
}

impl Subject for Actix {
    type Name = String;

    async fn create(&self, record: &Record) -> Result<String> {
        let text = format!("\"{}\"", record.text());
        let mut state = HashMap::from(Record::TEXTS.map(|name| (name.to_owned(), text.clone())));
        state.insert(Record::COUNT.to_owned(), "0".to_owned());
        Ok(self.0.save(state, &TTL).await?.as_ref().to_owned())
    }

    async fn cycle(&self, name: &String) -> Result<u64> {
        let key = name.clone().try_into()?;
        let mut state = self.load(&key).await?;
        let count = count(&state)? + 1;
        state.insert(Record::COUNT.to_owned(), count.to_string());
        let after = self.0.update(key, state, &TTL).await?;
        if after.as_ref() == name {
            Ok(count)
        } else {
            Err("the session has another key now".into())
        }
    }

    async fn update(&self, name: &String) -> Result<u64> {
        self.cycle(name).await
    }

    async fn read(&self, name: &String) -> Result<u64> {
        count(&self.load(&name.clone().try_into()?).await?)
    }
}

impl Named for Actix {
    fn lock_name(name: &String) -> String {
        format!("lock:{name}")
    }
}

fn count(state: &HashMap<String, String>) -> Result<u64> {
    Ok(state
        .get(Record::COUNT)
        .ok_or("the counter is gone")?
        .parse()?)
}
