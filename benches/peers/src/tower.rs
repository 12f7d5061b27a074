use std::collections::HashMap;

use latchkey_benches::{Record, Result, Subject};
use time::{Duration, OffsetDateTime};
use tower_sessions_core::{
    SessionStore as _,
    session::{Id, Record as Stored},
};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{Builder, ClientLike as _, Config, Pool, TcpConfig},
};

use crate::careful::Named;

/// tower-sessions' store on Redis, 0.16: load and save, as its middleware does.
#[derive(Clone, Debug)]
pub(crate) struct Tower(RedisStore<Pool>);

impl Tower {
    /// On one connection as ours, and with small packets sent at once; by itself it does not ask for that.
    pub(crate) async fn new(url: &str) -> Result<Self> {
        Ok(Self(RedisStore::new(pool(url).await?)))
    }

    async fn load(&self, id: Id) -> Result<Stored> {
        Ok(self.0.load(&id).await?.ok_or("the session is gone")?)
    }
}

/// One connection that sends small packets at once.
pub(crate) async fn pool(url: &str) -> Result<Pool> {
    let pool = Builder::from_config(Config::from_url(url)?)
        .with_connection_config(|config| {
            config.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
        })
        .build_pool(1)?;
    pool.init().await?;
    Ok(pool)
}

impl Subject for Tower {
    type Name = Id;

    async fn create(&self, record: &Record) -> Result<Id> {
        let text = record.text();
        let texts = Record::TEXTS.map(|name| (name.to_owned(), text.as_str().into()));
        let mut data = HashMap::from(texts);
        data.insert(Record::COUNT.to_owned(), 0.into());
        let mut stored = Stored {
            id: Id::default(),
            data,
            expiry_date: in_half_an_hour(),
        };
        self.0.create(&mut stored).await?;
        Ok(stored.id)
    }

    async fn cycle(&self, id: &Id) -> Result<u64> {
        let mut stored = self.load(*id).await?;
        let count = count(&stored)? + 1;
        stored.data.insert(Record::COUNT.to_owned(), count.into());
        stored.expiry_date = in_half_an_hour();
        self.0.save(&stored).await?;
        Ok(count)
    }

    async fn update(&self, id: &Id) -> Result<u64> {
        self.cycle(id).await
    }

    async fn read(&self, id: &Id) -> Result<u64> {
        count(&self.load(*id).await?)
    }
}

impl Named for Tower {
    fn lock_name(id: &Id) -> String {
        format!("lock:{id}")
    }
}

fn count(stored: &Stored) -> Result<u64> {
    let count = stored
        .data
        .get(Record::COUNT)
        .and_then(|count| count.as_u64());
    Ok(count.ok_or("the counter is gone")?)
}

fn in_half_an_hour() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::minutes(30)
}
