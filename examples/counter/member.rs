use std::{
    env, io,
    pin::pin,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, watch},
};

use crate::{
    BoxError,
    assignment::Assignment,
    frame::{FRAME_LEN, Message},
    outcome::Outcome,
    report::grouped,
    stopwatch::Stopwatch,
    tally::Tally,
    worker,
};

/// How far the run is.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    Starting,
    Working(Stopwatch),
    /// Who is still there is killed.
    Over,
}

/// When the work began; nothing if it is over before.
async fn begun(phase: &mut watch::Receiver<Phase>) -> Option<Stopwatch> {
    let begun = phase
        .wait_for(|phase| !matches!(phase, Phase::Starting))
        .await;
    match *begun.ok()? {
        Phase::Working(begun) => Some(begun),
        Phase::Starting | Phase::Over => None,
    }
}

async fn over(phase: &mut watch::Receiver<Phase>) {
    // Without a sender there is nobody left who could wait for the worker.
    drop(phase.wait_for(|phase| matches!(phase, Phase::Over)).await);
}

/// One worker process, as the parent has it.
pub(crate) struct Member {
    process: Child,
    conversation: Conversation,
    phase: watch::Receiver<Phase>,
}

impl Member {
    pub(crate) fn start(
        assignment: &Assignment,
        phase: watch::Receiver<Phase>,
        acknowledged: Arc<AtomicU64>,
    ) -> Result<Self, BoxError> {
        let mut process = Command::new(env::current_exe()?)
            .arg(worker::FLAG)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(pid) = process.id() {
            eprintln!("worker {}: pid {pid}", assignment.worker);
        }
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the pipes of a worker are missing".into());
        };
        let conversation = Conversation {
            input,
            output: BufReader::with_capacity(PIPE_LEN, output),
            phase: phase.clone(),
            acknowledged,
        };
        Ok(Self {
            process,
            conversation,
            phase,
        })
    }

    /// Returns, when the process has ended, what it was told, and what befell it if it did not end by itself.
    pub(crate) async fn see_through(
        self,
        assignment: Assignment,
        ready: mpsc::Sender<()>,
    ) -> (Tally, Option<String>) {
        let Self {
            mut process,
            mut conversation,
            mut phase,
        } = self;
        let mut tally = Tally::new(assignment.worker, assignment.tasks, assignment.sessions());
        let mut late = false;
        let talked = {
            let mut talk = pin!(conversation.run(assignment, ready, &mut tally));
            tokio::select! {
                talked = &mut talk => talked,
                () = over(&mut phase) => {
                    late = true;
                    kill(&mut process);
                    // What it had told before is still in the pipe.
                    talk.await
                }
            }
        };
        if talked.is_err() {
            kill(&mut process);
        }
        let status = process.wait().await;
        let misfortune = (!tally.has_finished()).then(|| {
            let how = if late {
                "was still there at the end and is killed".to_owned()
            } else {
                how_it_ended(talked, status)
            };
            let in_flight = tally.give_up_unfinished();
            let acknowledged = grouped(tally.acknowledged());
            format!(
                "{how}; {acknowledged} rounds acknowledged, {in_flight} in flight count as unknown"
            )
        });
        (tally, misfortune)
    }
}

// As much as a pipe holds on Linux.
const PIPE_LEN: usize = 64 << 10;

fn kill(process: &mut Child) {
    // Fails only if it has ended already.
    drop(process.start_kill());
}

fn how_it_ended(talked: io::Result<()>, status: io::Result<ExitStatus>) -> String {
    match (talked, status) {
        (Ok(()), Ok(status)) => format!("ended early ({status})"),
        (Err(error), Ok(status)) => format!("ended early ({status}, {error})"),
        (_, Err(error)) => format!("ended early ({error})"),
    }
}

/// The two pipes of a worker.
struct Conversation {
    // Stays open: a worker ends when its standard input does.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    phase: watch::Receiver<Phase>,
    acknowledged: Arc<AtomicU64>,
}

impl Conversation {
    /// Until the worker says no more.
    async fn run(
        &mut self,
        assignment: Assignment,
        ready: mpsc::Sender<()>,
        tally: &mut Tally,
    ) -> io::Result<()> {
        self.input.write_all(&assignment.to_line()?).await?;
        drop(assignment);
        if self.next().await?.is_none() {
            return Ok(());
        }
        drop(ready);
        let Some(begun) = begun(&mut self.phase).await else {
            return Ok(());
        };
        self.input.write_all(b"begin\n").await?;
        tally.begin();
        while let Some(message) = self.next().await? {
            if let Message::Round {
                outcome: Outcome::Acknowledged { .. },
                ..
            } = message
            {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            tally.note(message, begun.elapsed());
        }
        Ok(())
    }

    async fn next(&mut self) -> io::Result<Option<Message>> {
        let mut frame = [0; FRAME_LEN];
        match self.output.read_exact(&mut frame).await {
            Ok(_) => Message::decode(frame).map(Some),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}
