//! TLS, with a certificate authority of the test's own.

use std::net::TcpListener;

use redis::{Client, TlsCertificates};
use session_core::{Error, Fault, Sessions};
use session_redis::RedisStore;
use session_testkit::servers::{RedisServer, ServerKind};

use crate::support::{TestResult, add_one, chain, count, counter};

struct Secured {
    _server: RedisServer,
    _files: tempfile::TempDir,
    url: String,
    authority: Vec<u8>,
}

/// A server that also listens with TLS. A process, because it reads its certificate from files of this machine.
async fn secured() -> TestResult<Secured> {
    let files = tempfile::tempdir()?;
    let certified =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert, certified.cert.pem())?;
    std::fs::write(&key, certified.signing_key.serialize_pem())?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let server = RedisServer::builder()
        .kind(ServerKind::Process)
        .config("tls-port", port.to_string())
        .config("tls-cert-file", path(&cert))
        .config("tls-key-file", path(&key))
        .config("tls-ca-cert-file", path(&cert))
        .config("tls-auth-clients", "no")
        .start()
        .await?;
    let url = format!("rediss://127.0.0.1:{port}");
    Ok(Secured {
        _server: server,
        _files: files,
        url,
        authority: certified.cert.pem().into_bytes(),
    })
}

#[tokio::test]
async fn sessions_travel_over_tls() -> TestResult {
    let secured = secured().await?;
    let trusted = TlsCertificates {
        client_tls: None,
        root_cert: Some(secured.authority.clone()),
    };
    let client = Client::build_with_tls(&*secured.url, trusted)?;
    let sessions = Sessions::new(RedisStore::from_client(client).await?);
    let id = counter(&sessions).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (sessions, id) = (sessions.clone(), id.clone());
        tasks.spawn(async move { add_one(&sessions, &id).await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    assert_eq!(count(&sessions, &id).await?, Some(8));
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused() -> TestResult {
    let secured = secured().await?;
    match RedisStore::connect(&secured.url).await {
        Err(Error::Store(error)) => {
            assert_eq!(*error.fault(), Fault::Unreachable);
            assert!(chain(&error).contains("certificate"), "{}", chain(&error));
        }
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}
