//! What it costs to take a lock and to give it back, over 1, 3 and 5 nodes.
//!
//! Benchmarks are named `group/what/implementation`. In one iteration each task takes its lock once and gives it back; the
//! throughput counts that. Before and after each sample the nodes are looked at: a lock is there while it is held, and
//! gone afterwards. Beside other libraries: `benches/peers`.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use latchkey_benches::{
    Result, Until,
    locks::{Latchkey, LockLoad, Nodes},
};
use tokio::runtime::Runtime;

const TTL: Duration = Duration::from_secs(10);

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    for nodes in [1, 3, 5] {
        measure(&mut criterion, nodes);
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, count: usize) {
    let runtime = Runtime::new().expect("a runtime starts");
    let nodes = runtime
        .block_on(Nodes::start(count))
        .expect("servers start");
    let locks = Latchkey::new(&nodes.urls(), TTL).expect("these servers make a lock");
    let mut group = criterion.benchmark_group("acquire-release");
    for tasks in [1, 16, 64] {
        let plural =
            |number, word| format!("{number}-{word}{}", if number == 1 { "" } else { "s" });
        let what = format!("{}-{}", plural(count, "node"), plural(tasks, "task"));
        let load = LockLoad::new(locks.clone(), tasks);
        group.throughput(Throughput::Elements(tasks as u64));
        group.bench_function(BenchmarkId::new(what, "redis"), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime
                    .block_on(sample(&load, &nodes, iterations))
                    .expect("every lock is held and given back")
            });
        });
    }
    group.finish();
}

async fn sample(load: &LockLoad<Latchkey>, nodes: &Nodes, iterations: u64) -> Result<Duration> {
    load.check(nodes).await?;
    let elapsed = load.run(Until::Times(iterations)).await?.elapsed;
    load.check(nodes).await?;
    Ok(elapsed)
}
