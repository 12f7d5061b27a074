use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

use super::super::watchdog::{Watchdog, quoted};
use super::ServerError;
use super::programs::Programs;

/// How often a process is asked whether a signal has taken effect.
const POLL: Duration = Duration::from_millis(2);

/// A private `postgres` and its files.
#[derive(Debug)]
pub(super) struct Process {
    // Before the others: clean-up runs in this order.
    child: Mutex<Option<Child>>,
    _watchdog: Watchdog,
    dir: TempDir,
    programs: Programs,
    port: u16,
}

/// Settings that a test needs: everything on this machine and in this directory, and no work in the background that
/// nobody waits for.
const SETTINGS: [&str; 5] = [
    "listen_addresses=127.0.0.1",
    // A path of a socket has a short limit, which a temporary directory may exceed.
    "unix_socket_directories=",
    "max_connections=400",
    "shared_buffers=16MB",
    "autovacuum=off",
];

impl Process {
    pub(super) async fn start(programs: Programs, addr: SocketAddr) -> Result<Self, ServerError> {
        let dir = tempfile::Builder::new()
            .prefix("latchkey-postgres-")
            .tempdir()
            .map_err(ServerError::io("create the directory of a test server"))?;
        let quoted_dir = quoted(&dir.path().to_string_lossy());
        // SIGQUIT ends the server with all its processes and its shared memory, which SIGKILL leaves behind.
        let watchdog = Watchdog::start(&format!(
            "cd {quoted_dir} && {{ test -f pid && pid=$(cat pid) && kill -QUIT $pid && left=500 && \
             while test $left -gt 0 && kill -0 $pid; do sleep 0.02; left=$((left - 1)); done; \
             cd /; rm -rf {quoted_dir}; }}"
        ))?;
        let process = Self {
            child: Mutex::new(None),
            _watchdog: watchdog,
            dir,
            programs,
            port: addr.port(),
        };
        process.hand_over_directory()?;
        process.make_data().await?;
        process.spawn()?;
        Ok(process)
    }

    /// The directory is for the user that the server runs as.
    fn hand_over_directory(&self) -> Result<(), ServerError> {
        let handed_over = self.programs.user.map_or(Ok(()), |user| {
            chown(self.dir.path(), Some(user.uid), Some(user.gid))
        });
        let only_theirs = fs::Permissions::from_mode(0o700);
        handed_over
            .and_then(|()| fs::set_permissions(self.dir.path(), only_theirs))
            .map_err(ServerError::io("hand a directory to the user postgres"))
    }

    async fn make_data(&self) -> Result<(), ServerError> {
        let mut initdb = self.command("initdb");
        initdb
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata=data"]);
        let output = tokio::process::Command::from(initdb)
            .output()
            .await
            .map_err(ServerError::io("start initdb"))?;
        self.forget_pid();
        if output.status.success() {
            return Ok(());
        }
        Err(ServerError::Tool {
            tool: "initdb".to_owned(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// A program, in the server's directory and as its user. The shell writes the process ID before it becomes the program,
    /// so that the watchdog finds it whenever this process ends.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ >pid && exec "$0" "$@""#])
            .arg(self.programs.path(program))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            // Ctrl-C and a test runner's timeout go to the group of the test process.
            .process_group(0);
        if let Some(user) = self.programs.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Starts the server; nothing happens if it runs.
    pub(super) fn spawn(&self) -> Result<(), ServerError> {
        let mut child = self.child();
        if child.is_some() {
            return Ok(());
        }
        // A log of its own for each start: it tells when this start is done.
        let log = File::create(self.log_path())
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(ServerError::io("open the log of a test server"))?;
        let mut postgres = self.command("postgres");
        postgres.args(["-D", "data", "-p", &self.port.to_string()]);
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        let spawned = postgres
            .stdout(log.0)
            .stderr(log.1)
            .spawn()
            .map_err(ServerError::io("start postgres"))?;
        *child = Some(spawned);
        Ok(())
    }

    /// A fast shutdown: connections are closed, data are written.
    pub(super) async fn stop(&self) -> Result<(), ServerError> {
        self.end(Signal::INT).await
    }

    /// An immediate shutdown: nothing is written any more. All processes of the server are gone when its first one is,
    /// which cannot be said after SIGKILL.
    pub(super) async fn kill(&self) -> Result<(), ServerError> {
        self.end(Signal::QUIT).await
    }

    async fn end(&self, signal: Signal) -> Result<(), ServerError> {
        self.signal(signal)?;
        while self.is_running()? {
            sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) fn is_running(&self) -> Result<bool, ServerError> {
        let mut child = self.child();
        let Some(running) = child.as_mut() else {
            return Ok(false);
        };
        let ended = running
            .try_wait()
            .map_err(ServerError::io("look after postgres"))?
            .is_some();
        if ended {
            *child = None;
            self.forget_pid();
        }
        Ok(!ended)
    }

    /// Whether the server has said that it accepts connections, since its last start.
    pub(super) fn says_ready(&self) -> bool {
        self.log()
            .contains("database system is ready to accept connections")
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
                .map_err(ServerError::io("send a signal to postgres")),
            None => Ok(()),
        }
    }

    /// The number may soon belong to another process: the watchdog must not find it.
    fn forget_pid(&self) {
        // A missing file is what is wanted.
        let _removed = fs::remove_file(self.dir.path().join("pid"));
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("postgres.log")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What fails here is left to the watchdog.
        let _signalled = self.signal(Signal::QUIT);
        if let Some(mut child) = self.child().take() {
            let _ended = child.wait();
            self.forget_pid();
        }
    }
}
