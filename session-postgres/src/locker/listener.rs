use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use session_core::SessionKey;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{Postgres, dial::Dial, number::key_bytes};

/// Hears that it is the turn of somebody in this process: one connection for all who wait.
pub(super) struct Listener {
    shared: Arc<Shared>,
    dial: Option<Arc<dyn Dial>>,
}

struct Shared {
    channel: String,
    limit: Duration,
    // A std mutex: held for a few instructions.
    waiting: Mutex<HashMap<Vec<u8>, Arc<Notify>>>,
    running: AtomicBool,
    closed: Notify,
}

/// Somebody who waits for a lock. Dropping it ends that.
pub(super) struct Watch {
    shared: Arc<Shared>,
    key: Vec<u8>,
    told: Arc<Notify>,
}

// A connection that broke is made anew after that; whoever waits looks meanwhile.
const PAUSE: Duration = Duration::from_millis(200);
// A connection that died without a word is found out after that.
const CHECK_EVERY: Duration = Duration::from_secs(10);

impl Listener {
    pub(super) fn new(postgres: &Postgres, process: i64) -> Self {
        Self {
            shared: Arc::new(Shared {
                channel: format!("latchkey_{process}"),
                limit: postgres.limit(),
                waiting: Mutex::default(),
                running: AtomicBool::new(false),
                closed: Notify::new(),
            }),
            dial: postgres.dial(),
        }
    }

    /// Whether anything can be heard at all.
    pub(super) const fn hears(&self) -> bool {
        self.dial.is_some()
    }

    /// From now on nothing is missed that is told to whoever waits for this lock: the first in line.
    pub(super) fn watch(&self, key: &SessionKey) -> Watch {
        let (key, told) = (key_bytes(key), Arc::new(Notify::new()));
        self.shared.waiting().insert(key.clone(), Arc::clone(&told));
        self.ensure_running();
        Watch {
            shared: Arc::clone(&self.shared),
            key,
            told,
        }
    }

    fn ensure_running(&self) {
        let Some(dial) = &self.dial else {
            return;
        };
        // Without a runtime nobody waits.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.shared.running.swap(true, Ordering::AcqRel) {
            let running = Running(Arc::clone(&self.shared));
            let dial = Arc::clone(dial);
            runtime.spawn(async move { running.0.run(&*dial).await });
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.closed.notify_one();
    }
}

impl Watch {
    /// Resolves when it may be one's turn.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        // The next one in line may have taken the place.
        if waiting
            .get(&self.key)
            .is_some_and(|told| Arc::ptr_eq(told, &self.told))
        {
            waiting.remove(&self.key);
        }
    }
}

impl Shared {
    async fn run(&self, dial: &dyn Dial) {
        loop {
            tokio::select! {
                biased;
                () = self.closed.notified() => return,
                () = self.listen(dial) => {}
            }
            tokio::select! {
                biased;
                () = self.closed.notified() => return,
                () = sleep(PAUSE) => {}
            }
        }
    }

    /// Until the connection breaks.
    async fn listen(&self, dial: &dyn Dial) {
        let Ok(Ok((client, mut messages))) = timeout(self.limit, dial.dial()).await else {
            tracing::debug!("no connection to listen on");
            return;
        };
        let listen = format!("LISTEN \"{}\"", self.channel);
        let Ok(Ok(())) = timeout(self.limit, client.batch_execute(&listen)).await else {
            return;
        };
        // What was told before is lost: all look.
        for told in self.waiting().values() {
            told.notify_one();
        }
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(key) => self.tell(&key),
                    None => return,
                },
                () = sleep(CHECK_EVERY) => {
                    let Ok(Ok(())) = timeout(self.limit, client.batch_execute("")).await else {
                        return;
                    };
                }
            }
        }
    }

    /// `key`: in hex.
    fn tell(&self, key: &str) {
        let digits = key.as_bytes().chunks(2).map(std::str::from_utf8);
        let bytes =
            digits.map(|digits| digits.ok().and_then(|two| u8::from_str_radix(two, 16).ok()));
        let Some(key) = bytes.collect::<Option<Vec<_>>>() else {
            return;
        };
        if let Some(told) = self.waiting().get(&key) {
            told.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells when the task ends, also with its runtime.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}
