use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use latchkey::{SecondaryPolicy, SessionHandle};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    Client, Fault, FaultKind, History, Recorder, Report, Schedule, Settings, Terms, Told, Topology,
    Violation,
    board::Board,
    check::{Broken, check, long_waits},
    crew::Crew,
    history::{Event, Gathering},
    mirror,
    recorder::{nanos, now},
    report::{Beats, Happened},
    service::Service,
    workload::{MIRROR, Orders},
};

/// What the parts of a run return: every error is shown with its causes.
pub type ChaosResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A run that is to be made.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests fill it in")]
pub struct Options {
    /// What the sessions stand on.
    pub topology: Topology,
    /// How long faults happen.
    pub span: Duration,
    /// Decides what happens, and what the clients want to do.
    pub seed: u64,
    /// Worker processes.
    pub workers: usize,
    /// Tasks in each of them.
    pub tasks: u64,
    /// Sessions that they share.
    pub sessions: u64,
    /// Of the library.
    pub settings: Settings,
    /// The program of a worker, and what comes before its orders.
    pub program: (PathBuf, Vec<String>),
}

impl Options {
    /// Three workers with six tasks each on eight sessions.
    pub fn new(
        topology: Topology,
        span: Duration,
        seed: u64,
        program: (PathBuf, Vec<String>),
    ) -> Self {
        Self {
            topology,
            span,
            seed,
            workers: 3,
            tasks: 6,
            sessions: 8,
            settings: Settings::default(),
            program,
        }
    }

    /// How to do it once more.
    pub fn replay(&self) -> String {
        format!(
            "cargo run --release --example chaos -- --topology {} --seconds {} --seed {}",
            self.topology,
            self.span.as_secs(),
            self.seed
        )
    }
}

/// After the last fault everybody goes on for so long.
const QUIET: Duration = Duration::from_secs(3);
/// Nobody waits for longer than they have said, and a busy machine is given this much more.
const MARGIN: Duration = Duration::from_secs(25);
/// For what is left to be written through.
const DRAINING: Duration = Duration::from_secs(120);
/// For sessions that are running out while primary and secondary are compared.
const SETTLING: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(250);
/// Within which the server's idea of a span may be off: a stopped server deletes nothing.
const SLACK: Duration = Duration::from_secs(1);

/// Makes a run. `tell` hears of its progress once a second.
///
/// # Errors
/// When the run could not be made. What is wrong with the sessions is no error, but in the report.
pub async fn run(options: &Options, tell: fn(&Beats)) -> ChaosResult<Report> {
    let service = Service::start(options.topology, options.workers).await?;
    let schedule = Schedule::new(options.seed, options.span, options.workers);
    let orders = (0..options.workers).map(|at| Orders {
        seed: options.seed,
        process: 0,
        tasks: options.tasks,
        sessions: options.sessions,
        primary: service.links[at].url(),
        mirror: service.mirror.url(),
        board: service.board().to_owned(),
        settings: options.settings.clone(),
    });
    let (send, events) = mpsc::unbounded_channel();
    let began = now();
    let gathering = tokio::spawn(gather(events, began, tell));
    let (program, arguments) = options.program.clone();
    let mut crew = Crew::start(program, arguments, orders.collect(), send)?;
    let (servers, workers) = tokio::join!(
        befall_servers(&service, &schedule.servers, began),
        befall_workers(&service, &mut crew, &schedule.workers, began),
    );
    let happened = [servers?, workers?].concat();
    sleep_until(began, options.span + QUIET).await;
    let has_clocks = crew.has_clocks();
    let stops = crew.finish().await?;
    let (mut gathering, beats) = gathering.await?;
    for event in last_look(options, &service).await? {
        gathering.take(event);
    }
    let (history, odd) = gathering.finish();
    let mut violations = checked(options, &history, &stops).await?;
    violations.extend(left_behind(&service).await?);
    let mut report = Report::new(
        options,
        schedule,
        happened,
        (&history, began),
        beats,
        violations,
        odd,
    );
    if !has_clocks {
        report.leave_out(FaultKind::StepClock, FaultKind::WITHOUT_LIBRARY);
    }
    Ok(report)
}

async fn checked(
    options: &Options,
    history: &History,
    stops: &[(u64, u64, u64)],
) -> ChaosResult<Vec<Violation>> {
    let terms = Terms {
        grace: nanos(options.settings.grace),
        slack: nanos(SLACK),
    };
    let limit = nanos(options.settings.wait + options.settings.call + MARGIN);
    let (history, stops) = (history.clone(), stops.to_vec());
    let checking = tokio::task::spawn_blocking(move || {
        let mut violations = check(&history, &terms);
        violations.extend(long_waits(&history, limit, &stops));
        violations
    });
    Ok(checking.await?)
}

async fn gather(
    mut events: mpsc::UnboundedReceiver<Event>,
    began: u64,
    tell: fn(&Beats),
) -> (Gathering, Beats) {
    let (mut gathering, mut beats) = (Gathering::default(), Beats::default());
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                None => return (gathering, beats),
                Some(event) => {
                    if let Some(op) = gathering.take(event) {
                        beats.count(op, began);
                    }
                }
            },
            _ = seconds.tick() => tell(&beats),
        }
    }
}

async fn sleep_until(began: u64, at: Duration) {
    let passed = Duration::from_nanos(now().saturating_sub(began));
    sleep(at.saturating_sub(passed)).await;
}

async fn befall_servers(
    service: &Service,
    faults: &[Fault],
    began: u64,
) -> ChaosResult<Vec<Happened>> {
    let mut happened = Vec::new();
    for fault in faults {
        sleep_until(began, fault.at).await;
        let from = now();
        let until = service.suffer(fault).await?;
        happened.push(Happened::new(fault, from - began, until - began));
    }
    Ok(happened)
}

async fn befall_workers(
    service: &Service,
    crew: &mut Crew,
    faults: &[Fault],
    began: u64,
) -> ChaosResult<Vec<Happened>> {
    let mut happened = Vec::new();
    for fault in faults {
        sleep_until(began, fault.at).await;
        let from = now();
        let until = if fault.kind.is_of_process() {
            crew.suffer(fault).await?
        } else {
            service.suffer(fault).await?
        };
        happened.push(Happened::new(fault, from - began, until - began));
    }
    Ok(happened)
}

/// What somebody sees who has nothing to do with what has happened.
async fn last_look(options: &Options, service: &Service) -> ChaosResult<Vec<Event>> {
    let settings = Settings {
        prelude: String::new(),
        ..options.settings.clone()
    };
    let mirror = latchkey::RedisStore::builder()
        .connect_secondary(&service.mirror.url())
        .await?;
    let sessions = settings.sessions(settings.store(&service.server.url()).await?);
    let sessions = sessions
        .secondary(MIRROR, mirror, SecondaryPolicy::eventual())
        .open()
        .await?;
    let recorder = Arc::new(Recorder::in_memory(1 << 16));
    let mut client = Client::new(
        sessions.clone(),
        Arc::clone(&recorder),
        0,
        settings.staleness,
    );
    let board = Board::new(service.board());
    for at in 0..options.sessions {
        if let Some(known) = board.look(at).now {
            client.read(&known, false).await;
            // Nobody is left who holds it.
            match client.lock(&known).await {
                Ok(held) => _ = client.change(held, 0).await,
                Err(Told::Failed) => {
                    recorder.odd("a session cannot be locked in the end".to_owned());
                }
                Err(_) => {}
            }
        }
    }
    let through = sessions.write_through().ok_or("it is written through")?;
    through.drain(DRAINING).await?;
    Ok(recorder.take())
}

/// What is wrong with what stands on the servers in the end.
async fn left_behind(service: &Service) -> ChaosResult<Vec<Violation>> {
    let mut violations = Vec::new();
    for key in service.server.keys_without_ttl().await? {
        // The list of secondaries is one of the keys that stay.
        if key != "latchkey:secondaries" {
            violations.push(Violation::new(Broken::LeakedKey, 0, key));
        }
    }
    violations.extend(differences(service).await?);
    Ok(violations)
}

/// What the secondary does not show as the primary has it, and goes on not to: sessions that run out meanwhile do so here
/// and there at different moments.
async fn differences(service: &Service) -> ChaosResult<Vec<Violation>> {
    let over = now() + nanos(SETTLING);
    loop {
        let shown = mirror::shown(&service.mirror).await?;
        let stored = mirror::numbers(mirror::records(&service.server).await?)?;
        let differ = |handle: &&SessionHandle| shown.get(handle) != stored.get(handle);
        let all: BTreeSet<&SessionHandle> = shown.keys().chain(stored.keys()).collect();
        let differing: Vec<_> = all.into_iter().filter(differ).collect();
        if differing.is_empty() || now() > over {
            let violation = |handle: &SessionHandle| {
                let (primary, secondary) = (stored.get(handle), shown.get(handle));
                let what = format!(
                    "{handle:?}: {primary:?} in the primary, {secondary:?} in the secondary"
                );
                Violation::new(Broken::SecondaryDiffers, 0, what)
            };
            return Ok(differing.into_iter().map(violation).collect());
        }
        sleep(POLL).await;
    }
}
