//! Write-through between real processes and servers: whatever is killed, the secondary equals the primary in the end.

use std::{env, time::Duration};

use latchkey::{
    SecondaryPolicy,
    postgres::{Postgres, migrations},
};
use latchkey_chaos::{Numbers, numbers, records, shown};
use latchkey_tests::{TestResult, Writer, primary, redis};
use session_testkit::servers::{PostgresServer, Proxy, RedisServer};
use tokio_postgres::NoTls;

/// In all, by four processes.
const CHANGES: u64 = 20_000;
const PROCESSES: u64 = 4;

/// Everybody who may write, and both servers.
struct Service {
    primary: Primary,
    secondary: RedisServer,
    /// The way to the secondary.
    proxy: Proxy,
    seeds: u64,
}

impl Service {
    async fn start(primary: Primary) -> TestResult<Self> {
        // What it has acknowledged, it keeps.
        let secondary = RedisServer::builder().durable().start().await?;
        Ok(Self {
            primary,
            proxy: Proxy::start(secondary.addr()).await?,
            secondary,
            seeds: 0,
        })
    }

    fn writer(&mut self, changes: u64) -> TestResult<Writer> {
        self.seeds += 1;
        let (seed, changes) = (self.seeds.to_string(), changes.to_string());
        let arguments = [&self.primary.url(), &self.proxy.url(), &seed, &changes];
        Writer::start(env!("CARGO_BIN_EXE_writer"), &arguments.map(|word| &**word))
    }

    /// What is stored, by the public names of the sessions.
    async fn stored(&self) -> TestResult<Numbers> {
        numbers(self.primary.records().await?)
    }

    /// What the secondary shows.
    async fn shown(&self) -> TestResult<Numbers> {
        shown(&self.secondary).await
    }

    /// Another process, that has written nothing, delivers what is left.
    async fn assert_equal(&self) -> TestResult {
        let mirror = redis().connect_secondary(&self.proxy.url()).await?;
        let sessions = primary(&self.primary.url())
            .await?
            .secondary("mirror", mirror, SecondaryPolicy::eventual())
            .open()
            .await?;
        let through = sessions.write_through().ok_or("it is written through")?;
        through.drain(Duration::from_secs(120)).await?;
        let backlog = through.backlog("mirror").await?;
        assert_eq!((backlog.sessions, backlog.set_aside), (0, 0));
        assert_eq!(self.primary.noted().await?, 0);
        let (stored, shown) = (self.stored().await?, self.shown().await?);
        assert!(stored.len() > 100, "{} sessions", stored.len());
        let differ: Vec<_> = stored
            .iter()
            .filter(|(handle, n)| shown.get(handle) != Some(n))
            .collect();
        assert!(differ.is_empty(), "not as they are stored: {differ:?}");
        let alive: Vec<_> = shown
            .keys()
            .filter(|one| !stored.contains_key(one))
            .collect();
        assert!(
            alive.is_empty(),
            "ended, and alive in the secondary: {alive:?}"
        );
        Ok(())
    }
}

/// What the sessions stand in.
enum Primary {
    Redis(RedisServer),
    Postgres(PostgresServer),
}

impl Primary {
    async fn redis() -> TestResult<Self> {
        Ok(Self::Redis(RedisServer::start().await?))
    }

    /// `None`: tests with PostgreSQL are left out.
    async fn postgres() -> TestResult<Option<Self>> {
        if PostgresServer::is_skipped()? {
            return Ok(None);
        }
        let server = PostgresServer::start().await?;
        migrations::up(&Postgres::connect(&server.url()).await?).await?;
        Ok(Some(Self::Postgres(server)))
    }

    fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Postgres(server) => server.url(),
        }
    }

    /// Whatever stands under the keys of sessions.
    async fn records(&self) -> TestResult<Vec<Vec<u8>>> {
        match self {
            Self::Redis(server) => records(server).await,
            Self::Postgres(server) => records_in(server).await,
        }
    }

    /// How much of an outbox is left.
    async fn noted(&self) -> TestResult<usize> {
        match self {
            Self::Redis(server) => Ok(server.keys("*:outbox:*").await?.len()),
            Self::Postgres(server) => Ok(rows(server, "SELECT FROM latchkey_outbox").await?.len()),
        }
    }
}

async fn records_in(server: &PostgresServer) -> TestResult<Vec<Vec<u8>>> {
    let sql = "SELECT int8send(revision) || int8send(created_ms) || int8send(absolute_end_ms) || head || body \
        FROM latchkey_records WHERE expires_ms > extract(epoch FROM clock_timestamp()) * 1000";
    let rows = rows(server, sql).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn rows(server: &PostgresServer, sql: &str) -> TestResult<Vec<tokio_postgres::Row>> {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    // It ends with its client.
    drop(tokio::spawn(connection));
    Ok(client.query(sql, &[]).await?)
}

/// A writer, and how much it is to write.
struct Share {
    writer: Writer,
    changes: u64,
}

/// One fault after the other, while all write.
async fn befall(service: &mut Service, shares: &mut [Share], fault: usize) -> TestResult {
    let at = fault % shares.len();
    match fault % 6 {
        0 => {
            service.secondary.kill().await?;
            shares[at].writer.stores(200).await?;
            service.secondary.restart().await?;
        }
        1 => {
            service.secondary.pause().await?;
            shares[at].writer.stores(200).await?;
            service.secondary.resume().await?;
        }
        2 => {
            service.proxy.delay(Duration::from_millis(200));
            shares[at].writer.stores(200).await?;
            service.proxy.delay(Duration::ZERO);
        }
        3 => {
            let share = &mut shares[at];
            let changes = share.changes.saturating_sub(share.writer.stored());
            share.writer.kill().await?;
            let writer = service.writer(changes)?;
            *share = Share { writer, changes };
        }
        4 => {
            service.proxy.cut().await;
            shares[at].writer.stores(200).await?;
            service.proxy.heal().await?;
        }
        _ => {
            let stopped = shares[at].writer.stop()?;
            let others = (at + 1) % shares.len();
            shares[others].writer.stores(200).await?;
            stopped.resume();
        }
    }
    Ok(())
}

/// Promise 9. `LATCHKEY_CHANGES=100000` makes it five times as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_the_way_to_the_secondary_whoever_is_killed() -> TestResult {
    let changes: u64 = match env::var("LATCHKEY_CHANGES") {
        Ok(changes) => changes.parse()?,
        Err(_) => CHANGES,
    };
    let mut service = Service::start(Primary::redis().await?).await?;
    let mut shares = Vec::new();
    for _ in 0..PROCESSES {
        let changes = changes / PROCESSES;
        let writer = service.writer(changes)?;
        shares.push(Share { writer, changes });
    }
    let mut faults = 0;
    loop {
        let at = faults % shares.len();
        if !shares[at].writer.stores(200).await? {
            break;
        }
        befall(&mut service, &mut shares, faults).await?;
        faults += 1;
    }
    // On a fast machine they are done before everything has befallen them.
    assert!(faults >= 3, "only {faults} faults");
    for share in &mut shares {
        while share.writer.stores(1_000).await? {}
    }
    // What they had on their way is left to others.
    for share in &mut shares {
        share.writer.kill().await.ok();
    }
    service.assert_equal().await
}

/// The same from PostgreSQL, in small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_the_way_from_postgresql_whoever_is_killed() -> TestResult {
    let Some(primary) = Primary::postgres().await? else {
        return Ok(());
    };
    let mut service = Service::start(primary).await?;
    let mut writers = [service.writer(3_200)?, service.writer(3_200)?];
    for round in 0..4 {
        let at = round % writers.len();
        writers[at].stores(200).await?;
        if round == 1 {
            service.secondary.kill().await?;
            writers[at].stores(200).await?;
        }
        // In the middle of its work.
        writers[at].kill().await?;
        writers[at] = service.writer(3_200)?;
        if round == 1 {
            service.secondary.restart().await?;
        }
    }
    for writer in &mut writers {
        writer.stores(200).await?;
        writer.kill().await?;
    }
    service.assert_equal().await
}

/// One that is stopped in the middle of its deliveries goes on after the session has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deliverer_that_was_stopped_sets_nothing_back() -> TestResult {
    let mut service = Service::start(Primary::redis().await?).await?;
    let mut writer = service.writer(1_600)?;
    writer.stores(400).await?;
    service.proxy.hold_requests();
    writer.stores(400).await?;
    let stopped = writer.stop()?;
    let ends = primary(&service.primary.url()).await?;
    let mirror = redis().connect_secondary(&service.secondary.url()).await?;
    let ends = ends
        .secondary("mirror", mirror, SecondaryPolicy::eventual())
        .open()
        .await?;
    ends.revoke_everything().await?;
    let through = ends.write_through().ok_or("it is written through")?;
    through.drain(Duration::from_secs(60)).await?;
    assert_eq!(service.shown().await?.len(), 0);
    // What it has sent before arrives now.
    service.proxy.release_held().await;
    stopped.resume();
    writer.kill().await?;
    through.drain(Duration::from_secs(60)).await?;
    assert_eq!(service.shown().await?, service.stored().await?);
    Ok(())
}
