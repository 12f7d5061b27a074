use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use shop::BoxError;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::process::Process;

/// A Redis that keeps nothing on disk and ends with this program.
pub(crate) struct PrivateRedis {
    _process: Process,
    addr: SocketAddr,
}

impl PrivateRedis {
    pub(crate) async fn start() -> Result<Self, BoxError> {
        // Somebody else can take it before Redis does; then Redis says so and ends.
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
            .args(["--save", "", "--appendonly", "no"]);
        let (process, output) = Process::start(&mut command).map_err(|error| {
            format!("redis-server does not start ({error}): install it, or name a server with --redis URL")
        })?;
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            let mut last = String::new();
            while let Some(line) = lines.next_line().await? {
                if line.contains("Ready to accept connections") {
                    return Ok::<(), BoxError>(());
                }
                last = line;
            }
            Err(format!("redis-server has ended: {last}").into())
        };
        timeout(LONGEST_START, ready).await??;
        // It goes on to write, and a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_line)) = lines.next_line().await {} });
        Ok(Self {
            _process: process,
            addr,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }
}

const LONGEST_START: Duration = Duration::from_secs(60);
