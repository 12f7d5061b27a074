use latchkey_benches::{
    RedisServer, Result,
    hot::{self, Session},
};

use super::{guarded::Guarded, rival::Rival};
use crate::{redlock::Redlock, rslock::Rslock};

/// What one of the processes works with.
#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    rival: Rival,
    url: String,
    prefix: String,
    record: String,
}

/// One of the processes that want the same session.
pub(crate) async fn work(member: &Member) -> Result<()> {
    let Member { rival, url, .. } = member;
    let server = RedisServer::beside(url, &member.prefix).await?;
    if *rival == Rival::Latchkey {
        let session = Session::new(server.sessions().await?, &member.record)?;
        return hot::work(session).await;
    }
    let (plain, record) = (server.plain().await?, member.record.as_str());
    let urls = std::slice::from_ref(url);
    match rival {
        Rival::Rslock => hot::work(Guarded::new(plain, record, Some(Rslock::new(urls)?))).await,
        Rival::Redlock => hot::work(Guarded::new(plain, record, Some(Redlock::new(urls)))).await,
        Rival::Owner => hot::work(Guarded::new(plain, record, None::<Rslock>)).await,
        _ => Err(format!("{} is no Rust", rival.name()).into()),
    }
}
