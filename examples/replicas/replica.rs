use std::{env, net::SocketAddr, time::Duration};

use shop::BoxError;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::process::Process;

/// One server of the shop: this program again.
pub(crate) struct Replica {
    process: Process,
    addr: SocketAddr,
}

/// What tells it that it is one.
pub(crate) const FLAG: &str = "serve";

impl Replica {
    /// Starts it on a free port, and returns when it listens.
    pub(crate) async fn start(redis: &str) -> Result<Self, BoxError> {
        let mut command = Command::new(env::current_exe()?);
        command.args([FLAG, "--quiet", "--listen", "127.0.0.1:0", "--redis", redis]);
        let (process, output) = Process::start(&mut command)?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(LONGEST_START, lines.next_line()).await??;
        let addr = line
            .as_deref()
            .and_then(|line| line.strip_prefix("http://"));
        let addr = addr.ok_or("a server has ended")?.parse()?;
        Ok(Self { process, addr })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) async fn kill(self) -> Result<(), BoxError> {
        Ok(self.process.kill().await?)
    }
}

const LONGEST_START: Duration = Duration::from_secs(60);
