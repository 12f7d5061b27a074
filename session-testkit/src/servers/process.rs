use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;
use tokio::time::sleep;

use super::ServerError;
use super::config::Config;
use super::watchdog::{Watchdog, quoted};

/// How often a process is asked whether a signal has taken effect.
const POLL: Duration = Duration::from_millis(1);

/// A private `redis-server` and its files.
#[derive(Debug)]
pub(super) struct Process {
    // Before the others: clean-up runs in this order.
    child: Mutex<Option<Child>>,
    _watchdog: Watchdog,
    dir: TempDir,
    sentinel: bool,
}

impl Process {
    pub(super) fn start(
        config: &Config,
        addr: SocketAddr,
        unix_socket: bool,
    ) -> Result<Self, ServerError> {
        let dir = tempfile::Builder::new()
            .prefix("latchkey-redis-")
            .tempdir()
            .map_err(ServerError::io("create the directory of a test server"))?;
        let socket = unix_socket.then(|| socket_in(dir.path()));
        fs::write(
            dir.path().join("redis.conf"),
            config.redis_conf(addr.port(), dir.path(), socket.as_deref()),
        )
        .map_err(ServerError::io("write redis.conf"))?;

        let quoted_dir = quoted(&dir.path().to_string_lossy());
        let watchdog = Watchdog::start(&format!(
            "cd {quoted_dir} && {{ test -f pid && kill -9 $(cat pid); rm -rf {quoted_dir}; }}"
        ))?;
        let process = Self {
            child: Mutex::new(None),
            _watchdog: watchdog,
            dir,
            sentinel: config.sentinel,
        };
        process.spawn()?;
        Ok(process)
    }

    pub(super) fn unix_socket(&self) -> PathBuf {
        socket_in(self.dir.path())
    }

    /// Starts the server; nothing happens if it runs.
    pub(super) fn spawn(&self) -> Result<(), ServerError> {
        let mut child = self.child();
        if child.is_some() {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(ServerError::io("open the log of a test server"))?;
        // The shell writes the process ID before it becomes the server, so that the watchdog
        // finds it whenever this process ends.
        let mode = if self.sentinel { "--sentinel" } else { "" };
        let start = format!("echo $$ >pid && exec redis-server redis.conf {mode}");
        let spawned = Command::new("sh")
            .args(["-c", &start])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.0)
            .stderr(log.1)
            .process_group(0)
            .spawn()
            .map_err(ServerError::io("start redis-server"))?;
        *child = Some(spawned);
        Ok(())
    }

    pub(super) fn kill(&self) -> Result<(), ServerError> {
        let Some(mut child) = self.child().take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait())
            .map_err(ServerError::io("kill redis-server"))?;
        self.forget_pid();
        Ok(())
    }

    /// Asks the server to shut down and waits until it has.
    pub(super) async fn stop(&self) -> Result<(), ServerError> {
        self.resume()?;
        self.signal(Signal::TERM)?;
        while self.is_running()? {
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Stops the process in its tracks and waits until the kernel says so.
    pub(super) async fn pause(&self) -> Result<(), ServerError> {
        self.signal(Signal::STOP)?;
        while let Some(pid) = self.pid() {
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let status = waitid(WaitId::Pid(pid), options)
                .map_err(io::Error::from)
                .map_err(ServerError::io("wait until redis-server has stopped"))?;
            if status.is_some_and(|status| status.stopped()) {
                break;
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) fn resume(&self) -> Result<(), ServerError> {
        self.signal(Signal::CONT)
    }

    pub(super) fn is_running(&self) -> Result<bool, ServerError> {
        let mut child = self.child();
        let Some(running) = child.as_mut() else {
            return Ok(false);
        };
        let ended = running
            .try_wait()
            .map_err(ServerError::io("look after redis-server"))?
            .is_some();
        if ended {
            *child = None;
            self.forget_pid();
        }
        Ok(!ended)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        // The child is not reaped while the guard lives, so the ID is still its own.
        let child = self.child();
        match child.as_ref().map(Pid::from_child) {
            Some(pid) => kill_process(pid, signal)
                .map_err(io::Error::from)
                .map_err(ServerError::io("send a signal to redis-server")),
            None => Ok(()),
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child().as_ref().map(Pid::from_child)
    }

    /// The number may soon belong to another process: the watchdog must not find it.
    fn forget_pid(&self) {
        // A missing file is what is wanted.
        let _removed = fs::remove_file(self.dir.path().join("pid"));
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("redis.log")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What fails here is left to the watchdog.
        let _killed = self.kill();
    }
}

fn socket_in(dir: &Path) -> PathBuf {
    dir.join("redis.sock")
}

/// Version of the installed `redis-server`, if there is one.
pub(super) async fn server_version() -> Option<String> {
    let output = tokio::process::Command::new("redis-server")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

fn version_in(banner: &str) -> Option<String> {
    let word = banner.split(' ').find_map(|word| word.strip_prefix("v="))?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_found_in_the_banner() {
        let banner = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(version_in(banner).as_deref(), Some("7.0.15"));
        assert_eq!(version_in("sh: redis-server: not found"), None);
    }
}
