use std::{path::Path, time::Duration};

use session_testkit::servers::{Proxy, RedisServer};
use tokio::time::{sleep, timeout};

use crate::{ChaosResult, Fault, FaultKind, Topology, recorder::now};

/// The servers of a run, and the way of each worker to them.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) server: RedisServer,
    pub(crate) mirror: RedisServer,
    pub(crate) links: Vec<Proxy>,
    pub(crate) board: tempfile::TempDir,
}

/// Enough for the sessions of a run, and soon full.
const MEMORY: &str = "16mb";
/// For something that has to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Service {
    pub(crate) async fn start(topology: Topology, workers: usize) -> ChaosResult<Self> {
        let Topology::Single = topology;
        // What has been acknowledged survives the server.
        let durable = RedisServer::builder().durable();
        let server = durable
            .clone()
            .config("maxmemory", MEMORY)
            .config("maxmemory-policy", "noeviction");
        let server = server.start().await?;
        let mut links = Vec::new();
        for _ in 0..workers {
            links.push(Proxy::start(&server).await?);
        }
        let board = tempfile::tempdir()?;
        Ok(Self {
            server,
            mirror: durable.start().await?,
            links,
            board,
        })
    }

    pub(crate) fn board(&self) -> &Path {
        self.board.path()
    }

    /// Lets a fault happen and ends it; when it was over.
    pub(crate) async fn suffer(&self, fault: &Fault) -> ChaosResult<u64> {
        let server = &self.server;
        let link = &self.links[fault.worker];
        match fault.kind {
            FaultKind::KillServer => {
                server.kill().await?;
                sleep(fault.span).await;
                server.restart().await?;
            }
            FaultKind::StopServer => {
                server.pause().await?;
                sleep(fault.span).await;
                server.resume().await?;
            }
            FaultKind::FullMemory => {
                let filled = server.fill().await?;
                sleep(fault.span).await;
                server.drain(filled).await?;
            }
            FaultKind::KillClients => drop(server.kill_clients().await?),
            FaultKind::FlushScripts => server.flush_scripts().await?,
            FaultKind::KillMirror => {
                self.mirror.kill().await?;
                sleep(fault.span).await;
                self.mirror.restart().await?;
            }
            FaultKind::CutLink => {
                link.cut().await;
                sleep(fault.span).await;
                link.heal().await?;
            }
            FaultKind::DelayLink => {
                link.delay(fault.delay);
                sleep(fault.span).await;
                link.delay(Duration::ZERO);
            }
            FaultKind::HoldRequests => {
                link.hold_requests();
                sleep(fault.span).await;
                timeout(PATIENCE, link.release_held()).await?;
            }
            FaultKind::HoldReplies => {
                link.hold_replies();
                sleep(fault.span).await;
                link.release_replies();
            }
            FaultKind::HalfOpen => {
                link.drop_replies();
                sleep(fault.span).await;
                link.heal().await?;
            }
            FaultKind::KillWorker | FaultKind::StopWorker | FaultKind::StepClock => {}
        }
        Ok(now())
    }
}
