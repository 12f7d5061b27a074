use std::future::poll_fn;

use async_trait::async_trait;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

/// Makes connections that hear what others tell: those of a pool do not.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// A connection, and the texts of what is told on the channels that it listens to. They end with the connection.
    async fn dial(&self) -> Result<(Client, UnboundedReceiver<String>), Error>;

    /// Which database they lead to, and by what settings: as far as it is known without asking.
    fn database(&self) -> String;
}

pub(crate) struct Dialer<T> {
    pub(crate) config: Config,
    pub(crate) tls: T,
}

#[async_trait]
impl<T> Dial for Dialer<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    async fn dial(&self) -> Result<(Client, UnboundedReceiver<String>), Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let (tell, told) = mpsc::unbounded_channel();
        // It ends with its client, or when the connection breaks.
        drop(tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notification) = message {
                    // Nobody listens any more: then the client is gone too.
                    tell.send(notification.payload().to_owned()).ok();
                }
            }
        }));
        Ok((client, told))
    }

    fn database(&self) -> String {
        // As the client does: without a name, that of the user.
        let name = self.config.get_dbname().or(self.config.get_user());
        let settings = self.config.get_options().unwrap_or_default();
        format!("{}?{settings}", name.unwrap_or_default())
    }
}
