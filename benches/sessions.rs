//! What each operation costs in memory and on Redis, beside plain GET and SET of the same client.
//!
//! Benchmarks are named `group/what/implementation`. In one iteration each task does the action once, on a record of
//! its own; the throughput counts actions. Every sample begins in an empty store and checks all records at its end.

use std::time::Duration;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use latchkey::{MemoryStore, Sessions};
use latchkey_benches::{Action, Load, Plain, Record, RedisServer, Result, Subject, Until};
use tokio::runtime::Runtime;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    // Lock, add 1, commit; plainly GET and SET.
    measure(&mut criterion, "cycle", Action::Cycle);
    // Add 1 by a short function; plainly GET and SET.
    measure(&mut criterion, "update", Action::Update);
    // Read; plainly GET.
    measure(&mut criterion, "snapshot", Action::Read);
    // Store a new session; plainly SET.
    measure(&mut criterion, "create", Action::Create);
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, name: &str, action: Action) {
    let runtime = Runtime::new().expect("a runtime starts");
    let redis = runtime.block_on(Redis::start()).expect("a server starts");
    let mut group = criterion.benchmark_group(name);
    for tasks in [1, 64] {
        for record in [Record::USUAL, Record::LARGE] {
            let mut work = Work {
                runtime: &runtime,
                group: &mut group,
                action,
                tasks,
                record,
            };
            work.bench("memory", async || Ok(Sessions::new(MemoryStore::new())));
            work.bench("redis", async || {
                redis.server.clear().await?;
                Ok(redis.sessions.clone())
            });
            work.bench("plain", async || {
                redis.server.clear().await?;
                Ok(redis.plain.clone())
            });
        }
    }
    group.finish();
}

/// A server of our own, and a connection of each kind.
struct Redis {
    server: RedisServer,
    sessions: Sessions,
    plain: Plain,
}

impl Redis {
    async fn start() -> Result<Self> {
        let server = RedisServer::start().await?;
        Ok(Self {
            sessions: server.sessions().await?,
            plain: server.plain().await?,
            server,
        })
    }
}

struct Work<'a, 'b> {
    runtime: &'a Runtime,
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    action: Action,
    tasks: usize,
    record: Record,
}

impl Work<'_, '_> {
    fn bench<S: Subject>(&mut self, implementation: &str, empty: impl AsyncFn() -> Result<S>) {
        let (runtime, action, tasks, record) = (self.runtime, self.action, self.tasks, self.record);
        let plural = if tasks == 1 { "" } else { "s" };
        let what = format!("{tasks}-task{plural}-{record}-bytes");
        self.group.throughput(Throughput::Elements(tasks as u64));
        self.group
            .bench_function(BenchmarkId::new(what, implementation), |bencher| {
                bencher.iter_custom(|iterations| {
                    let sample = sample(&empty, action, tasks, record, iterations);
                    runtime
                        .block_on(sample)
                        .expect("every action does what it should")
                });
            });
    }
}

async fn sample<S: Subject>(
    empty: impl AsyncFn() -> Result<S>,
    action: Action,
    tasks: usize,
    record: Record,
    mut iterations: u64,
) -> Result<Duration> {
    let at_once = match action {
        Action::Create => (CREATED_AT_ONCE / (tasks * record.bytes())) as u64,
        _ => iterations,
    };
    let mut elapsed = Duration::ZERO;
    while iterations > 0 {
        let times = iterations.min(at_once);
        let mut load = Load::new(empty().await?, record, tasks).await?;
        elapsed += load.run(action, Until::Times(times)).await?.elapsed;
        load.check().await?;
        iterations -= times;
    }
    Ok(elapsed)
}

/// Bytes of new records after which a store is emptied.
const CREATED_AT_ONCE: usize = 64 << 20;
