use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use session_testkit::servers::{RedisServer, ServerKind};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::{TestResult, is_child, on_both_kinds, spawn_child};

on_both_kinds! {
    a_dropped_server_is_gone,
    a_paused_server_is_gone_when_dropped,
    a_killed_test_process_leaves_no_server,
}

async fn a_dropped_server_is_gone(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    let addr = server.addr();
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
    Ok(())
}

async fn a_paused_server_is_gone_when_dropped(kind: ServerKind) -> TestResult {
    let server = RedisServer::builder().kind(kind).start().await?;
    let addr = server.addr();
    server.pause().await?;
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
    Ok(())
}

/// What the test process was killed with needs no co-operation of it, so this is every end.
async fn a_killed_test_process_leaves_no_server(kind: ServerKind) -> TestResult {
    if is_child() {
        let server = RedisServer::builder().kind(kind).start().await?;
        #[expect(clippy::print_stdout, reason = "the parent reads it")]
        {
            println!("\nserver: {}", server.addr());
        }
        // Until the parent kills us.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    let name = format!("cleanup::{kind}::a_killed_test_process_leaves_no_server");
    let mut child = spawn_child(&name, &[])?;
    let output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let addr: SocketAddr = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server: ").map(str::to_owned))
        .ok_or("the child started no server")?
        .parse()?;
    TcpStream::connect(addr).await?;

    child.kill()?;
    child.wait()?;
    timeout(Duration::from_secs(20), async {
        while TcpStream::connect(addr).await.is_ok() || left_by(child.id(), kind) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await?;
    Ok(())
}

fn left_by(process: u32, kind: ServerKind) -> bool {
    if kind != ServerKind::Container {
        return false;
    }
    let filter = format!("name=latchkey-test-{process}-");
    let listed = Command::new("docker")
        .args(["ps", "--all", "--quiet", "--filter", &filter])
        .output()
        .unwrap();
    !listed.stdout.is_empty()
}

#[test]
fn a_server_outlives_its_runtime_and_is_gone_when_dropped_on_a_plain_thread() -> TestResult {
    for kind in [ServerKind::Container, ServerKind::Process] {
        let runtime = tokio::runtime::Runtime::new()?;
        let server = runtime.block_on(RedisServer::builder().kind(kind).start())?;
        drop(runtime);
        let addr = server.addr();
        std::net::TcpStream::connect(addr)?;
        std::thread::spawn(move || drop(server)).join().unwrap();
        assert!(std::net::TcpStream::connect(addr).is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_process_leaves_no_files() -> TestResult {
    let server = RedisServer::builder()
        .kind(ServerKind::Process)
        .unix_socket()
        .start()
        .await?;
    let url = server.url();
    let socket = Path::new(url.trim_start_matches("redis+unix://"));
    let dir = socket.parent().ok_or("a socket stands in a directory")?;
    assert!(dir.join("redis.conf").exists());
    drop(server);
    assert!(!dir.exists());
    Ok(())
}
