use std::{io, thread};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// SIGINT and SIGTERM: what was acquired is given back before the program ends.
pub(crate) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Returns at a line or at the end of the input.
pub(crate) async fn line() {
    let (sender, line) = oneshot::channel::<()>();
    // A thread of its own: one that reads cannot be told to stop, and the runtime would wait for it.
    thread::spawn(move || {
        // An input that cannot be read has ended.
        drop(io::stdin().read_line(&mut String::new()));
        drop(sender);
    });
    drop(line.await);
}
