//! One worker process of a run: `chaos_worker ORDERS`. The run tells it what to do.

use std::{env, error::Error};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let orders = env::args().nth(1).ok_or("usage: chaos_worker ORDERS")?;
    latchkey_chaos::worker(&orders).await
}
