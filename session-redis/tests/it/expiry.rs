//! Hearing of sessions that have run out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use session_core::{Error, Event, Observer, Sessions, Timeouts};
use session_testkit::servers::RedisServer;

use crate::support::{TestResult, builder};

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Observer for Log {
    fn notice(&self, event: &Event) {
        self.0
            .lock()
            .expect("no test panics here")
            .push(event.clone());
    }
}

#[tokio::test]
async fn a_server_that_tells_of_expired_keys_is_heard() -> TestResult {
    let server = RedisServer::builder()
        .config("notify-keyspace-events", "Ex")
        .start()
        .await?;
    let log = Log::default();
    let sessions = Sessions::builder(builder().connect(&server.url()).await?)
        .observer(log.clone())
        .timeouts(Timeouts::new(
            Duration::from_millis(150),
            Duration::from_secs(60),
        )?)
        .build()?;
    // Whether it listens yet can only be seen by what it hears: sessions run out until one is heard of.
    let mut keys = Vec::new();
    let heard = async {
        loop {
            let made = sessions
                .with_new(async |session| Ok::<_, Error>(session.insert("n", 1)?))
                .await?;
            keys.push(made.0.key().fingerprint());
            tokio::time::sleep(Duration::from_millis(20)).await;
            let heard = log.0.lock().expect("no test panics here");
            let is_ours =
                |event: &Event| matches!(event, Event::Expired { key } if keys.contains(key));
            if heard.iter().any(is_ours) {
                return Ok::<_, Error>(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await??;
    Ok(())
}
