use std::{io::Write as _, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    Args, BoxError,
    service::{Shop, service},
    sessions,
    users::Users,
};

/// Serves the shop until the process is told to end (`SIGINT`, `SIGTERM`). Says where it listens as soon as it does.
///
/// # Errors
/// When a store cannot be reached, or the address is taken.
pub async fn run(args: Args) -> Result<(), BoxError> {
    let level = if args.quiet {
        LevelFilter::ERROR
    } else {
        LevelFilter::WARN
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .init();
    let (sessions, limits) = Box::pin(sessions::open(args.redis.as_deref())).await?;
    let users = match &args.postgres {
        Some(url) => Box::pin(Users::in_postgres(url)).await?,
        None => Box::pin(Users::in_memory()).await?,
    };
    let app = service(&Shop::new(sessions.clone(), users, limits)?);
    let listener = TcpListener::bind(args.listen).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let end = end()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app)
        .with_graceful_shutdown(end)
        .await?;
    sessions.shutdown(PATIENCE).await?;
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(5);

fn end() -> Result<impl Future<Output = ()> + Send + 'static, BoxError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
