use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use session_testkit::servers::{PostgresServer, ServerError};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use crate::support::{TestResult, is_child, passes_in_child, spawn_child};

async fn connect(server: &PostgresServer) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    // It ends with its client.
    drop(tokio::spawn(connection));
    Ok(client)
}

/// Where the server keeps its data.
async fn directory(server: &PostgresServer) -> Result<PathBuf, tokio_postgres::Error> {
    let client = connect(server).await?;
    let row = client.query_one("SHOW data_directory", &[]).await?;
    Ok(PathBuf::from(row.get::<_, String>(0)))
}

#[tokio::test]
async fn what_was_committed_outlives_a_stop_and_a_crash() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let client = connect(&server).await?;
    client.batch_execute("CREATE TABLE kept (n int)").await?;
    for n in 1..=3 {
        let client = connect(&server).await?;
        client
            .execute("INSERT INTO kept VALUES ($1)", &[&n])
            .await?;
        match n {
            1 => server.stop().await?,
            2 => server.kill().await?,
            _ => {}
        }
        if n < 3 {
            assert!(TcpStream::connect(server.addr()).await.is_err());
            client.execute("SELECT 1", &[]).await.unwrap_err();
        }
        server.restart().await?;
    }
    let client = connect(&server).await?;
    let rows = client.query("SELECT n FROM kept", &[]).await?;
    assert_eq!(rows.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_dropped_server_leaves_neither_process_nor_files() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let (addr, directory) = (server.addr(), directory(&server).await?);
    assert!(directory.exists());
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
    assert!(!directory.exists());
    Ok(())
}

#[tokio::test]
async fn a_killed_test_process_leaves_neither_process_nor_files() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    if is_child() {
        let server = PostgresServer::start().await?;
        let directory = directory(&server).await?;
        println!("\nserver: {} {}", server.addr(), directory.display());
        // Until the parent kills us.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    let name = "postgres::a_killed_test_process_leaves_neither_process_nor_files";
    let mut child = spawn_child(name, &[])?;
    let output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let line = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server: ").map(str::to_owned))
        .ok_or("the child started no server")?;
    let (addr, directory) = line.split_once(' ').ok_or("no directory")?;
    let (addr, directory): (SocketAddr, _) = (addr.parse()?, PathBuf::from(directory));
    TcpStream::connect(addr).await?;
    assert!(directory.exists());

    child.kill()?;
    child.wait()?;
    timeout(Duration::from_secs(20), async {
        while TcpStream::connect(addr).await.is_ok() || directory.exists() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_skipped_is_said() -> TestResult {
    if is_child() {
        assert!(PostgresServer::is_skipped()?);
        return Ok(());
    }
    let variables = [("LATCHKEY_SKIP", "containers, postgresql")];
    passes_in_child("postgres::what_is_skipped_is_said", &variables)
}

#[tokio::test]
async fn without_postgresql_one_line_says_how_to_get_it() -> TestResult {
    let line = ServerError::NoPostgres.to_string();
    assert!(line.contains("apt-get install postgresql"), "{line}");
    assert!(!line.contains('\n'));
    Ok(())
}
