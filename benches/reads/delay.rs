use std::sync::Arc;

use latchkey_benches::{Result, Stopwatch, Subject};
use tokio::{runtime::Handle, task::yield_now};

use crate::crowd::Crowd;

/// From the call that changes a record to the first read, of somebody else who reads over and over, that shows it. In ms.
pub(crate) async fn measure<S: Subject>(
    crowd: &Arc<Crowd<S::Name>>,
    reader: &S,
    writer: &S,
    elsewhere: &Handle,
    times: usize,
) -> Result<Vec<f64>> {
    let mut delays = Vec::with_capacity(times);
    let mut shown = reader.read(crowd.first()).await?;
    for _ in 0..times {
        let begun = Stopwatch::start();
        let changing = elsewhere.spawn({
            let (crowd, writer) = (Arc::clone(crowd), writer.clone());
            async move { crowd.change(&writer, 0).await }
        });
        let see = async {
            let before = shown;
            loop {
                let count = reader.read(crowd.first()).await?;
                if count != before {
                    break Ok::<_, latchkey_benches::Error>((count, begun.elapsed()));
                }
                yield_now().await;
            }
        };
        let (changed, seen) = tokio::join!(changing, see);
        let (changed, (seen, delay)) = (changed??, seen?);
        if seen != changed {
            return Err(format!("read {seen} after a change to {changed}").into());
        }
        shown = seen;
        delays.push(delay.as_secs_f64() * 1e3);
    }
    Ok(delays)
}
