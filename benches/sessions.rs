//! Criterion benchmarks of each operation on each store.
fn main() {}
