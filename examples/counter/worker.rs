use std::{
    fs::File,
    io::{self, BufRead, Read, Write as _},
    os::fd::AsFd as _,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use latchkey::{SessionId, Sessions};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::sleep,
};

use crate::{
    BoxError,
    args::Limit,
    assignment::{Assignment, session_of},
    frame::Message,
    outcome::Outcome,
    round,
    stopwatch::Stopwatch,
};

/// The first argument that makes this program a worker.
pub(crate) const FLAG: &str = "--worker-process";

pub(crate) fn main() -> Result<(), BoxError> {
    let assignment = Assignment::read(&mut io::stdin().lock())?;
    let runtime = Runtime::new()?;
    let worker = Arc::new(Worker {
        sessions: runtime.block_on(assignment.store.open())?,
        ids: assignment.ids()?,
        parent: ToParent::stdout()?,
        assignment,
        told_to_end: AtomicBool::new(false),
    });
    let sigterm = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    runtime.spawn(Arc::clone(&worker).heed_sigterm(sigterm));
    worker.parent.tell(Message::Ready)?;
    wait_for_the_word_to_begin(&mut io::stdin().lock())?;
    thread::spawn(end_with_the_parent);
    runtime.block_on(worker.work())
}

struct Worker {
    assignment: Assignment,
    sessions: Sessions,
    ids: Vec<SessionId>,
    parent: ToParent,
    told_to_end: AtomicBool,
}

impl Worker {
    async fn work(self: Arc<Self>) -> Result<(), BoxError> {
        let begun = Stopwatch::start();
        let mut tasks = JoinSet::new();
        for task in 0..self.assignment.tasks {
            let worker = Arc::clone(&self);
            tasks.spawn(async move { worker.rounds_of(task, begun).await });
        }
        for ended in tasks.join_all().await {
            ended?;
        }
        Ok(())
    }

    async fn rounds_of(&self, task: u32, begun: Stopwatch) -> io::Result<()> {
        let Assignment {
            worker, mode, hold, ..
        } = self.assignment;
        let mut round = 0;
        while self.may_begin(round, begun) {
            let id = &self.ids[session_of(worker, task, round, self.ids.len())];
            let outcome = round::add_one(&self.sessions, id, mode, hold).await;
            // The parent has it before the next round begins.
            self.parent.tell(Message::Round { task, outcome })?;
            if !matches!(outcome, Outcome::Acknowledged { .. }) {
                sleep(PAUSE_AFTER_FAILURE).await;
            }
            round += 1;
        }
        self.parent.tell(Message::Finished { task })
    }

    /// Ends the work without an interrupted round: nothing is unknown then.
    async fn heed_sigterm(self: Arc<Self>, mut sigterm: Signal) {
        if sigterm.recv().await.is_some() {
            self.told_to_end.store(true, Ordering::Relaxed);
        }
    }

    fn may_begin(&self, round: u64, begun: Stopwatch) -> bool {
        if self.told_to_end.load(Ordering::Relaxed) {
            return false;
        }
        match self.assignment.limit {
            Limit::Rounds(rounds) => round < rounds,
            Limit::Time(time) => begun.elapsed() < time,
        }
    }
}

// A server that is down is not to be asked in a tight loop.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

fn wait_for_the_word_to_begin(input: &mut impl BufRead) -> io::Result<()> {
    match input.read_line(&mut String::new())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The parent says nothing more; its pipe ends when it dies, however it dies.
fn end_with_the_parent() {
    let mut rest = [0; 16];
    while !matches!(io::stdin().read(&mut rest), Ok(0) | Err(_)) {}
    process::exit(1);
}

/// The standard output, past the line buffer of `std`, which would take frames apart at each byte that looks like
/// the end of a line.
struct ToParent(File);

impl ToParent {
    fn stdout() -> io::Result<Self> {
        Ok(Self(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    /// Blocks only while the pipe is full: when the parent is stopped, its workers stop too.
    fn tell(&self, message: Message) -> io::Result<()> {
        (&self.0).write_all(&message.encode())
    }
}
