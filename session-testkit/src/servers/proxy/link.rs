use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};

use super::exchange::Exchange;
use super::log::Log;
use super::redirect::Redirector;
use super::trap::{LinkFault, Trap};
use crate::servers::resp;

/// One client connection and its connection to the server.
///
/// Four tasks, one for each direction of each socket, so that holding one direction leaves the
/// others alone:
///
/// ```text
/// client -> read_requests  -> channel -> write_requests -> server
/// client <- write_replies  <- channel <- read_replies   <- server
/// ```
///
/// The tasks towards the server outlive those towards the client: requests that were held still
/// arrive when the client has gone.
#[derive(Debug)]
pub(super) struct Link {
    number: u64,
    hold_requests: watch::Sender<bool>,
    replies: watch::Sender<Replies>,
    /// Requests without the server's answer; `None` once the server's side has ended.
    unanswered: watch::Sender<Option<usize>>,
    exchange: Mutex<Exchange>,
    tasks: Mutex<Tasks>,
}

/// What happens to replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    Pass,
    Hold,
    /// For the rest of the connection: after a gap nothing may follow.
    Drop,
}

/// What the links of a proxy have in common.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) upstream: SocketAddr,
    pub(super) follow_redirects: bool,
    pub(super) delay: watch::Sender<Duration>,
    pub(super) redirects_held: watch::Sender<bool>,
    pub(super) trap: Trap,
    pub(super) log: Log,
}

#[derive(Debug, Default)]
struct Tasks {
    client: Vec<JoinHandle<()>>,
    server: Vec<AbortHandle>,
}

struct Burst {
    bytes: Vec<u8>,
    sent: Instant,
}

struct Delivery {
    frame: Vec<u8>,
    answers: bool,
}

impl Link {
    pub(super) fn open(
        number: u64,
        path: &Arc<Path>,
        client: TcpStream,
        server: TcpStream,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            number,
            hold_requests: watch::Sender::new(false),
            replies: watch::Sender::new(Replies::Pass),
            unanswered: watch::Sender::new(Some(0)),
            exchange: Mutex::new(Exchange::new(number)),
            tasks: Mutex::default(),
        });
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let (to_server, requests) = mpsc::unbounded_channel();
        let (to_client, replies) = mpsc::unbounded_channel();

        let reader = tokio::spawn(read_requests(
            Arc::clone(&link),
            Arc::clone(path),
            client_read,
            to_server,
        ));
        let writer = tokio::spawn(write_replies(
            Arc::clone(&link),
            replies,
            client_write,
            reader.abort_handle(),
        ));
        let forward = tokio::spawn(write_requests(
            Arc::clone(&link),
            Arc::clone(path),
            requests,
            server_write,
        ));
        let answers = tokio::spawn(read_replies(
            Arc::clone(&link),
            Arc::clone(path),
            server_read,
            to_client,
        ));
        *link.tasks() = Tasks {
            client: vec![reader, writer],
            server: vec![forward.abort_handle(), answers.abort_handle()],
        };
        link
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn hold_requests(&self) {
        self.hold_requests.send_replace(true);
    }

    /// Forwards what was held; whether anything was to be released.
    pub(super) fn release_requests(&self) -> bool {
        self.hold_requests.send_replace(false)
    }

    /// Waits until the server has answered everything that it was sent, or has gone.
    pub(super) async fn answered(&self) {
        let mut unanswered = self.unanswered.subscribe();
        // The sender lives as long as this link.
        let _done = unanswered
            .wait_for(|count| count.is_none_or(|count| count == 0))
            .await;
    }

    pub(super) fn set_replies(&self, replies: Replies) {
        self.replies.send_if_modified(|now| {
            let changed = *now != replies && *now != Replies::Drop;
            if changed {
                *now = replies;
            }
            changed
        });
    }

    pub(super) fn drops_replies(&self) -> bool {
        *self.replies.borrow() == Replies::Drop
    }

    /// Closes the client's side, and the server's side once everything held has been forwarded.
    pub(super) async fn close_client(&self) {
        let tasks = std::mem::take(&mut self.tasks().client);
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // The sockets are closed when the tasks that own them have ended.
            let _ended = task.await;
        }
    }

    pub(super) fn abort(&self) {
        let tasks = self.tasks();
        tasks.client.iter().for_each(JoinHandle::abort);
        tasks.server.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn is_finished(&self) -> bool {
        let tasks = self.tasks();
        tasks.client.iter().all(JoinHandle::is_finished)
            && tasks.server.iter().all(AbortHandle::is_finished)
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_requests(
    link: Arc<Link>,
    path: Arc<Path>,
    mut client: OwnedReadHalf,
    to_server: mpsc::UnboundedSender<Burst>,
) {
    let mut unsent = Vec::with_capacity(64 * 1024);
    let mut understood = true;
    while let Ok(1..) = client.read_buf(&mut unsent).await {
        // A burst that came in several segments is one all the same.
        while let Ok(1..) = client.try_read_buf(&mut unsent) {}

        let whole = match understood {
            true => link.note_requests(&unsent, &path),
            false => None,
        };
        // What is no request is the server's business: it is forwarded as it is.
        understood = whole.is_some();
        let bytes: Vec<_> = unsent.drain(..whole.unwrap_or(unsent.len())).collect();
        let sent = Instant::now();
        if to_server.send(Burst { bytes, sent }).is_err() {
            return;
        }
    }
}

impl Link {
    fn note_requests(&self, bytes: &[u8], path: &Path) -> Option<usize> {
        let mut exchange = self.exchange();
        let scripts = exchange.scripts();
        let whole = exchange.sent(bytes, &path.log).ok();
        self.count_unanswered(&exchange);
        match path.trap.spring(exchange.scripts() - scripts) {
            Some(LinkFault::HoldRequests) => self.hold_requests(),
            Some(LinkFault::HoldReplies) => self.set_replies(Replies::Hold),
            Some(LinkFault::DropReplies) => self.set_replies(Replies::Drop),
            None => {}
        }
        whole
    }

    fn count_unanswered(&self, exchange: &Exchange) {
        self.unanswered.send_if_modified(|count| {
            let goes_on = count.is_some();
            if goes_on {
                *count = Some(exchange.unanswered());
            }
            goes_on
        });
    }
}

async fn write_requests(
    link: Arc<Link>,
    path: Arc<Path>,
    mut requests: mpsc::UnboundedReceiver<Burst>,
    mut server: OwnedWriteHalf,
) {
    let mut held = link.hold_requests.subscribe();
    while let Some(burst) = requests.recv().await {
        let delay = *path.delay.borrow();
        sleep_until(burst.sent + delay).await;
        if held.wait_for(|held| !held).await.is_err()
            || server.write_all(&burst.bytes).await.is_err()
        {
            return;
        }
    }
    // Tells the server that the client has gone; a server that has gone itself does not mind.
    let _closed = server.shutdown().await;
}

async fn read_replies(
    link: Arc<Link>,
    path: Arc<Path>,
    mut server: OwnedReadHalf,
    to_client: mpsc::UnboundedSender<Delivery>,
) {
    let mut redirector = Redirector::new(path.upstream);
    let mut unread = Vec::with_capacity(64 * 1024);
    // Also while nobody listens any more: what was held is to be answered.
    while let Ok(1..) = server.read_buf(&mut unread).await {
        let mut end = 0;
        loop {
            let (frame, reply) = match resp::first_reply(&unread[end..]) {
                Ok(Some(reply)) => (&unread[end..end + reply.length], Some(reply)),
                Ok(None) => break,
                Err(_) => (&unread[end..], None),
            };
            if frame.is_empty() {
                break;
            }
            end += frame.len();
            let mut frame = frame.to_vec();
            let request = reply
                .as_ref()
                .and_then(|reply| link.exchange().answered(&reply.kind));
            let answers = request.is_some();
            let target = reply.and_then(|reply| redirector.target(&reply.kind));
            if let (true, Some(target), Some(request)) = (path.follow_redirects, target, request) {
                let greetings = link.exchange().greetings().to_vec();
                frame = redirector
                    .follow(target, &request.name, &request.frame, &greetings, &path)
                    .await;
            }
            // The client may have gone.
            let _received = to_client.send(Delivery { frame, answers });
            link.count_unanswered(&link.exchange());
        }
        unread.drain(..end);
    }
    link.unanswered.send_replace(None);
}

async fn write_replies(
    link: Arc<Link>,
    mut replies: mpsc::UnboundedReceiver<Delivery>,
    mut client: OwnedWriteHalf,
    reader: AbortHandle,
) {
    let mut mode = link.replies.subscribe();
    while let Some(Delivery { frame, answers }) = replies.recv().await {
        if !passes(&mut mode).await {
            return stay_half_open(client).await;
        }
        if answers {
            // Before the write: the client's next request may follow it at once.
            link.exchange().delivered();
        }
        // A client that has gone is noticed by its reader.
        let _written = client.write_all(&frame).await;
    }
    if !passes(&mut mode).await {
        return stay_half_open(client).await;
    }
    drop(client);
    reader.abort();
}

/// Waits while replies are held; whether they may then pass.
async fn passes(mode: &mut watch::Receiver<Replies>) -> bool {
    let mode = mode.wait_for(|mode| *mode != Replies::Hold).await;
    mode.is_ok_and(|mode| *mode == Replies::Pass)
}

/// Keeps the socket and is silent, until the task is aborted.
async fn stay_half_open(_client: OwnedWriteHalf) {
    std::future::pending::<()>().await;
}
