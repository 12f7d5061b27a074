//! Sessions that are written through: a secondary is down for a while and catches up, and a query looks into carts.
//!
//! `cargo run --example write_through -- --own-servers` starts a private Redis for the primary and a private PostgreSQL, and
//! kills the latter. Without, everything is in memory, where a secondary can only be switched off; `--redis URL` and
//! `--postgres URL` bring servers, which stay alive. The tables come from the example `migrate`.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use clap::Parser;
use latchkey::{
    Applied, Change, Codec, Fault, MemorySecondary, MemoryStore, RedisStore, Row, SecondaryPolicy,
    SecondaryStore, SessionHandle, SessionId, Sessions, SessionsBuilder, StoreError, StoreTime,
    postgres::{Postgres, PostgresSecondary, migrations},
};
use session_testkit::servers::{PostgresServer, RedisServer};

#[derive(Parser)]
struct Arguments {
    /// A Redis for the primary; without, it is in memory.
    #[arg(long)]
    redis: Option<String>,
    /// A PostgreSQL for one more secondary.
    #[arg(long)]
    postgres: Option<String>,
    /// Start private ones, and kill the PostgreSQL.
    #[arg(long, conflicts_with_all = ["redis", "postgres"])]
    own_servers: bool,
}

/// Servers of this program, which end with it.
struct Own {
    redis: RedisServer,
    postgres: PostgresServer,
}

impl Own {
    async fn start() -> Result<Self, BoxError> {
        let (redis, postgres) = (RedisServer::start().await?, PostgresServer::start().await?);
        migrations::up(&Postgres::connect(&postgres.url()).await?).await?;
        Ok(Self { redis, postgres })
    }
}

/// A secondary with a switch: what an outage is like.
#[derive(Clone, Debug)]
struct Switched {
    store: MemorySecondary,
    is_down: Arc<AtomicBool>,
}

impl Switched {
    fn check(&self) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::new("write", "analytics", Fault::Unreachable));
        }
        Ok(())
    }
}

#[async_trait]
impl SecondaryStore for Switched {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        self.check()?;
        self.store.apply(change).await
    }

    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError> {
        self.check()?;
        self.store.seen(session, idle_end).await
    }

    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.store.load(session).await
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = Arguments::parse();
    let own = if arguments.own_servers {
        Some(Own::start().await?)
    } else {
        None
    };
    if let Some(own) = &own {
        arguments.redis = Some(own.redis.url());
        arguments.postgres = Some(own.postgres.url());
    }
    let analytics = Switched {
        store: MemorySecondary::new(),
        is_down: Arc::default(),
    };
    let archive = MemorySecondary::new();
    let primary = match &arguments.redis {
        None => Sessions::builder(MemoryStore::new()),
        Some(url) => Sessions::builder(fresh(url).await?),
    };
    let primary = match &arguments.postgres {
        None => primary,
        Some(url) => {
            let reports = PostgresSecondary::new(&Postgres::connect(url).await?, "reports").await?;
            let carts = SecondaryPolicy::eventual()
                .only(["cart"])
                .codec(Codec::Json);
            primary.secondary("reports", reports.with_json_values(), carts)
        }
    };
    let sessions = secondaries(primary, analytics.clone(), archive)
        .open()
        .await?;
    let through = sessions.write_through().expect("secondaries were named");

    let (id, handle) = sessions
        .with_new(async |session| -> latchkey::Result<SessionHandle> {
            session.insert("cart", ["tea"])?;
            session.insert("secret", "not for statistics")?;
            Ok(session.handle())
        })
        .await?;
    drained(&through).await;
    show(&through, handle, "a session is stored").await?;

    match &own {
        None => analytics.is_down.store(true, Ordering::SeqCst),
        Some(own) => own.postgres.kill().await?,
    }
    add(&sessions, &id, "cups").await?;
    add(&sessions, &id, "sugar").await?;
    let who = if own.is_some() {
        "PostgreSQL"
    } else {
        "analytics"
    };
    let down = format!("{who} is down, and two commits went on");
    show(&through, handle, &down).await?;

    match &own {
        None => analytics.is_down.store(false, Ordering::SeqCst),
        Some(own) => own.postgres.restart().await?,
    }
    drained(&through).await;
    show(&through, handle, &format!("{who} is back")).await?;
    if let Some(url) = &arguments.postgres {
        let carts = carts_with(url, "sugar").await?;
        println!("carts with sugar, says PostgreSQL: {carts}");
    }

    sessions.destroy(&id).await?;
    drained(&through).await;
    show(&through, handle, "the session has ended").await?;
    Ok(())
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a report asks, which knows nothing of sessions.
async fn carts_with(url: &str, item: &str) -> Result<i64, BoxError> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let sql = "SELECT count(*) FROM latchkey_secondary
        WHERE name = 'reports' AND NOT ended AND values->'cart' ? $1";
    let carts = client.query_one(sql, &[&item]).await?.get(0);
    drop(client);
    connection.await??;
    Ok(carts)
}

fn secondaries(
    builder: SessionsBuilder,
    analytics: Switched,
    archive: MemorySecondary,
) -> SessionsBuilder {
    let carts = SecondaryPolicy::eventual()
        .only(["cart"])
        .codec(Codec::Json);
    builder.secondary("analytics", analytics, carts).secondary(
        "archive",
        archive,
        SecondaryPolicy::required(),
    )
}

/// Under a prefix of its own, so that it can be run again.
async fn fresh(url: &str) -> latchkey::Result<RedisStore> {
    let prefix = format!("write-through-{}", std::process::id());
    RedisStore::builder().prefix(prefix).connect(url).await
}

async fn add(sessions: &Sessions, id: &SessionId, item: &str) -> latchkey::Result<()> {
    let add = async |session: &mut latchkey::SessionGuard| -> latchkey::Result<()> {
        Ok(session.modify("cart", |cart: &mut Vec<String>| cart.push(item.to_owned()))?)
    };
    Ok(sessions.with(id, add).await?)
}

async fn drained(through: &latchkey::WriteThrough) {
    if let Err(late) = through.drain(Duration::from_secs(30)).await {
        println!("{late}");
    }
}

async fn show(
    through: &latchkey::WriteThrough,
    session: SessionHandle,
    what: &str,
) -> latchkey::Result<()> {
    println!("{what}:");
    for name in through.names() {
        let shown = match through.load(name, session).await {
            Err(error) => format!("({error})"),
            Ok(None) => "nothing".to_owned(),
            Ok(Some((_, values))) => {
                let keys: Vec<&str> = values.keys().collect();
                let cart: Vec<String> = values.get("cart")?.unwrap_or_default();
                format!("{cart:?}, of the values {keys:?}")
            }
        };
        let waiting = through.backlog(name).await?.sessions;
        println!("  {name:<9} {shown}; {waiting} waiting");
    }
    Ok(())
}
