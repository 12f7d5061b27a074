//! Each metric of the table occurs, with labels of the table, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use http::{Method, Request, header};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use session_core::{
    Codec, Limit, MemorySecondary, MemoryStore, MemoryUseCounter, SecondaryPolicy, SessionGuard,
    SessionId, Sessions,
};
use session_redis::RedisStore;
use session_testkit::{FakeClock, Flaky, Mood, servers::RedisServer};
use session_web::{
    ClientAddress, LoginHandler, LoginLimits, RateLimit, SessionLayer, UnknownLimit,
};

use crate::{login_limits::Users, support::*};

/// What was recorded: name and labels, and how often.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<(String, String), u64>>>);

struct One(Recorded, (String, String));

impl One {
    fn add(&self, count: u64) {
        let mut all = self.0.0.lock().unwrap();
        *all.entry(self.1.clone()).or_default() += count;
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, _value: u64) {
        panic!("nothing is set");
    }
}

impl GaugeFn for One {
    fn increment(&self, _value: f64) {
        panic!("nothing is added to a gauge");
    }

    fn decrement(&self, _value: f64) {
        panic!("nothing is taken from a gauge");
    }

    fn set(&self, value: f64) {
        assert!((0.0..1e6).contains(&value), "{value}");
        let whole = format!("{value:.0}").parse().unwrap();
        self.0.0.lock().unwrap().insert(self.1.clone(), whole);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "{value}");
        self.add(1);
    }
}

impl Recorded {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = (key.name().to_owned(), labels.join(","));
        Arc::new(One(self.clone(), name))
    }

    fn names(&self) -> BTreeSet<String> {
        let all = self.0.lock().unwrap();
        all.keys().map(|(name, _)| name.clone()).collect()
    }

    fn count(&self, name: &str, labels: &str) -> u64 {
        let all = self.0.lock().unwrap();
        let key = (name.to_owned(), labels.to_owned());
        all.get(&key).copied().unwrap_or(0)
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

const TABLE: &str = include_str!("../../../session-core/src/guide/metrics.md");

/// Rows of the table: the cells of each.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = TABLE
        .lines()
        .filter(|line| line.starts_with("| `latchkey_"));
    rows.map(|row| row.split(" | ").collect())
}

fn words(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A secondary that is down, does not answer, is there, and does not take a session.
async fn write_through(recorded: &Recorded) {
    let clock = Arc::new(FakeClock::new());
    let store = MemoryStore::builder().clock(clock.clone());
    let mirror = Flaky::new(MemorySecondary::with_clock(clock.clone()));
    mirror.set(Mood::Down);
    let policy = SecondaryPolicy::eventual().codec(Codec::Json);
    let sessions = Sessions::builder(store.build().unwrap());
    let sessions = sessions.secondary("mirror", mirror.clone(), policy);
    let sessions = sessions.open().await.unwrap();
    let id = stored(&sessions).await;
    let gauge = |name| recorded.count(name, "secondary=mirror");
    until(&clock, || gauge("latchkey_outbox_sessions") == 1).await;
    until(&clock, || gauge("latchkey_outbox_age_seconds") >= 10).await;
    assert_eq!(gauge("latchkey_outbox_set_aside"), 0);

    let deliveries = |outcome| {
        let labels = format!("secondary=mirror,outcome={outcome}");
        recorded.count("latchkey_deliveries_total", &labels)
    };
    assert!(deliveries("failed") > 0);
    mirror.set(Mood::Deaf);
    let failed = deliveries("failed");
    until(&clock, || deliveries("failed") > failed).await;
    assert_eq!((deliveries("delivered"), deliveries("known")), (0, 0));
    mirror.set(Mood::Well);
    until(&clock, || deliveries("known") == 1).await;
    // What JSON has no form for.
    let change = async |session: &mut SessionGuard| session.insert_raw("bytes", &b"\xc4\x01a"[..]);
    sessions.with(&id, change).await.unwrap();
    stored(&sessions).await;
    until(&clock, || {
        deliveries("delivered") == 1 && deliveries("set_aside") == 1
    })
    .await;
    until(&clock, || gauge("latchkey_outbox_set_aside") == 1).await;
    assert_eq!(gauge("latchkey_outbox_sessions"), 0);
    assert_eq!(gauge("latchkey_outbox_age_seconds"), 0);
}

/// Lets time go by until something is true, for five minutes at most.
async fn until(clock: &FakeClock, is_true: impl Fn() -> bool + Send) {
    let second = Duration::from_secs(1);
    for _ in 0..300 {
        if is_true() {
            return;
        }
        clock.pass(second, second).await;
    }
    panic!("never");
}

async fn log_in(app: &Router, password: &str) {
    let request =
        Request::post("/login").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    send_with(app, request, format!("username=ada&password={password}")).await;
}

#[tokio::test]
async fn each_metric_of_the_table_occurs_and_no_other() {
    let recorded = Recorded::default();
    let guard = metrics::set_default_local_recorder(&recorded);
    let server = RedisServer::shared().await.unwrap();
    let store = RedisStore::builder()
        .prefix(format!("metrics{}", std::process::id()))
        .cached_reads(Duration::from_secs(60))
        .call_timeout(Duration::from_secs(10))
        .resolve_timeout(Duration::from_secs(10))
        .connect(&server.url())
        .await
        .unwrap();
    let sessions = Sessions::new(store);
    let id = stored(&sessions).await;

    // Locks, commits, reads, updates.
    let change = async |session: &mut SessionGuard| session.insert("n", 2);
    sessions.with(&id, change).await.unwrap();
    sessions.lock(&id).await.unwrap().discard().await.unwrap();
    let held = sessions.lock(&id).await.unwrap();
    assert!(
        sessions
            .lock(&id)
            .wait_at_most(Duration::ZERO)
            .await
            .is_err()
    );
    drop(held);
    assert!(sessions.lock(&SessionId::random()).await.is_err());
    let update = |data: &mut session_core::SessionData| data.insert("n", 3);
    sessions.update(&id, update).await.unwrap();
    // The server may tell of the writes above a moment later.
    let hits = async {
        while recorded.count("latchkey_cached_reads_total", "outcome=hit") == 0 {
            sessions.snapshot(&id).await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hits)
        .await
        .unwrap();
    assert!(
        sessions
            .snapshot(&SessionId::random())
            .await
            .unwrap()
            .is_none()
    );

    // Logins and limits.
    let addresses = ClientAddress::new(|_| Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let counter = MemoryUseCounter::new();
    let once = Limit::new(1, Duration::from_secs(600)).unwrap();
    let limits = LoginLimits::new(counter.clone(), addresses.clone()).per_account(once);
    let route = RateLimit::new("a", once, counter.clone(), addresses.clone());
    let unknown = UnknownLimit::new(counter, addresses).limit(once);
    let app = handlers()
        .route("/limited", get(async || "a").route_layer(route))
        .route_service(
            "/login",
            LoginHandler::new(Users { together: None }).limits(limits),
        )
        .layer(SessionLayer::new(sessions.clone()).limit_unknown(unknown));
    for password in ["lovelace", "down", "wrong", "wrong"] {
        log_in(&app, password).await;
    }
    for _ in 0..2 {
        send(&app, request(Method::GET, "/limited")).await;
        get_it(&app, "/read", &cookie_of(&SessionId::random())).await;
    }
    sessions.destroy(&id).await.unwrap();
    for (name, labels, count) in [
        ("latchkey_lock_wait_seconds", "outcome=held", 1),
        ("latchkey_lock_wait_seconds", "outcome=no_session", 1),
        ("latchkey_lock_hold_seconds", "outcome=discarded", 1),
        ("latchkey_lock_hold_seconds", "outcome=dropped", 1),
        ("latchkey_lock_hold_seconds", "outcome=stored", 1),
        ("latchkey_updates_total", "outcome=stored", 1),
        ("latchkey_events_total", "outcome=created", 1),
        ("latchkey_events_total", "outcome=logged_in", 1),
        ("latchkey_events_total", "outcome=destroyed", 1),
        ("latchkey_logins_total", "outcome=succeeded", 1),
        ("latchkey_logins_total", "outcome=refused", 1),
        ("latchkey_logins_total", "outcome=limited", 1),
        ("latchkey_logins_total", "outcome=failed", 1),
        ("latchkey_limits_total", "limit=route,outcome=granted", 1),
        ("latchkey_limits_total", "limit=route,outcome=refused", 1),
        ("latchkey_limits_total", "limit=unknown,outcome=granted", 1),
        ("latchkey_limits_total", "limit=unknown,outcome=refused", 1),
        ("latchkey_limits_total", "limit=login,outcome=granted", 3),
        ("latchkey_limits_total", "limit=login,outcome=refused", 1),
        ("latchkey_refusals_total", "status=429", 2),
    ] {
        assert_eq!(recorded.count(name, labels), count, "{name} {labels}");
    }
    write_through(&recorded).await;
    drop(guard);

    let documented: BTreeSet<String> = rows()
        .map(|cells| words(cells[0]).into_iter().collect())
        .collect();
    assert_eq!(recorded.names(), documented);
    for (name, labels) in recorded.0.lock().unwrap().keys() {
        let cells = rows()
            .find(|cells| cells[0].contains(&format!("`{name}`")))
            .unwrap();
        let commits = rows()
            .find(|cells| cells[0].contains("commits_total"))
            .unwrap();
        for label in labels.split(',') {
            let (key, value) = label.split_once('=').unwrap();
            let is_status = key == "status" && value.len() == 3;
            let mut known = words(cells[2]);
            assert!(known.contains(key), "{name} {label}");
            // "As commits".
            if cells[2].contains("as commits") {
                known.extend(words(commits[2]));
            }
            let is_name = key == "secondary" && value == "mirror";
            assert!(
                is_status || is_name || known.contains(value),
                "{name} {label}"
            );
        }
    }
}
