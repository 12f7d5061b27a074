use std::{env, time::Duration};

use latchkey_benches::{
    Comparison, Cost, Record, RedisServer, Result, Run, Subject,
    hot::{self, Pace, Session},
};
use tokio::process::Command;

use crate::axis::Axis;

/// What one of the processes works with.
#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    url: String,
    prefix: String,
    id: String,
}

/// One of the processes that want the same session.
pub(crate) async fn work(member: &Member) -> Result<()> {
    let server = RedisServer::beside(&member.url, &member.prefix).await?;
    hot::work(Session::new(server.sessions().await?, &member.id)?).await
}

/// 1 to 1,000 who want one session, in one process and spread over four.
pub(crate) async fn more(run: &Run) -> Result<Axis> {
    let sizes: &[u64] = if run.is_short() {
        &[1, 20]
    } else {
        &[1, 10, 100, 1_000]
    };
    let server = RedisServer::start().await?;
    let mut operations = PROCESSES.map(|processes| {
        let plural = if processes == 1 {
            "process"
        } else {
            "processes"
        };
        (
            format!("turn, {processes} {plural}"),
            Comparison::of(sizes.len()),
        )
    });
    for round in 0..run.rounds() {
        for (processes, (_, costs)) in PROCESSES.iter().zip(&mut operations) {
            let measure = async |at: usize| {
                let waiters = usize::try_from(sizes[at])?;
                turns(&server, waiters, *processes, run.slice(SLICE)).await
            };
            costs.round(measure).await?;
        }
        eprintln!("waiters: round {} of {}", round + 1, run.rounds());
    }
    Ok(Axis {
        name: "tasks that want one session",
        file: "growth-waiters",
        sizes: sizes.to_vec(),
        operations: operations.into(),
    })
}

const PROCESSES: [usize; 2] = [1, 4];
const SLICE: Duration = Duration::from_millis(600);

/// At least one task in each process.
async fn turns(
    server: &RedisServer,
    waiters: usize,
    processes: usize,
    slice: Duration,
) -> Result<Cost> {
    server.clear_all().await?;
    let sessions = server.sessions().await?;
    let id = Subject::create(&sessions, &Record::USUAL).await?;
    let measure_ms = u64::try_from(slice.as_millis())?;
    let pace = Pace {
        tasks: waiters.div_ceil(processes),
        work_us: 0,
        think_us: 0,
        warm_up_ms: measure_ms / 4,
        measure_ms,
    };
    let member = |_| -> Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        let words = ["member", "--", server.url(), server.prefix(), id.expose()];
        command.args(words);
        Ok(command)
    };
    let members: Result<_> = (0..processes).map(member).collect();
    let contest = hot::run(members?, pace, server).await?;
    let stored = sessions.read(&id).await?;
    if stored != contest.added {
        let error = format!("{} turns were taken, {stored} are stored", contest.added);
        return Err(error.into());
    }
    Ok(Cost {
        per_second: contest.per_second,
        server_us: contest.server_us,
        client_us: contest.client_us,
    })
}
