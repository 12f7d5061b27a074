use std::{
    fs::{Permissions, metadata, set_permissions, write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use session_core::{Fault, StoreError};
use session_postgres::{
    PiccoloSessions, Postgres,
    rustls::{ClientConfig, RootCertStore},
};
use session_testkit::servers::PostgresServer;

use crate::support::{TABLE, Table, TestResult, connect};

/// Gives a server a certificate that it has signed itself, and returns a client's settings that trust it.
async fn secure(server: &PostgresServer) -> TestResult<ClientConfig> {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let client = connect(&server.url()).await?;
    let row = client.query_one("SHOW data_directory", &[]).await?;
    let data = PathBuf::from(row.get::<_, String>(0));
    place(&data, "server.crt", &certified.cert.pem())?;
    place(&data, "server.key", &certified.signing_key.serialize_pem())?;
    client.batch_execute("ALTER SYSTEM SET ssl = on").await?;
    server.restart().await?;
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone())?;
    Ok(trusting(roots))
}

/// The server refuses a key that is not its own or that others can read.
fn place(data: &Path, name: &str, text: &str) -> TestResult {
    let (file, owner) = (data.join(name), metadata(data)?);
    write(&file, text)?;
    chown(&file, Some(owner.uid()), Some(owner.gid()))?;
    Ok(set_permissions(file, Permissions::from_mode(0o600))?)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(roots);
    builder.with_no_client_auth()
}

fn is_unsuitable(error: &StoreError) -> bool {
    matches!(error.fault(), Fault::Unsuitable(_)) && !error.is_retryable()
}

#[tokio::test]
async fn sessions_travel_over_tls_if_the_certificate_is_trusted() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let server = PostgresServer::start().await?;
    let trusted = secure(&server).await?;
    let table = Table::on(&server).await?;
    table.client.batch_execute(TABLE).await?;
    let postgres = Postgres::connect_tls(&table.url, trusted).await?;
    let sessions = PiccoloSessions::new(&postgres, "UTC").await?;
    let token = sessions.create_session(7).await?;
    assert_eq!(sessions.get_user_id(token.expose(), None).await?, Some(7));
    let secured = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE ssl AND query LIKE '%piccolo%'";
    let secured: i64 = table.client.query_one(secured, &[]).await?.get(0);
    assert!(secured > 0, "no connection is over TLS");

    let stranger = trusting(RootCertStore::empty());
    let error = Postgres::connect_tls(&table.url, stranger)
        .await
        .unwrap_err();
    assert!(is_unsuitable(&error), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn what_asks_for_tls_never_goes_without() -> TestResult {
    if PostgresServer::is_skipped()? {
        return Ok(());
    }
    let plain = PostgresServer::shared().await?;
    let trusted = trusting(RootCertStore::empty());
    let url = format!("{}?sslmode=disable", plain.url());
    let error = Postgres::connect_tls(&url, trusted).await.unwrap_err();
    assert!(is_unsuitable(&error), "{error:?}");
    let url = format!("{}?sslmode=require", plain.url());
    let error = Postgres::connect(&url).await.unwrap_err();
    assert!(error.to_string().contains("connect_tls"), "{error}");
    Ok(())
}
