use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::link::Path;
use super::log::Redirect;
use crate::servers::resp::{self, ReplyKind};

/// A slot that moves back and forth is not followed for ever.
const MAX_HOPS: usize = 8;

/// Connections to other nodes of the cluster, for one client connection.
pub(super) struct Redirector {
    upstream: SocketAddr,
    nodes: HashMap<SocketAddr, Node>,
}

struct Node {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Redirector {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            nodes: HashMap::new(),
        }
    }

    /// Where `reply` sends the client, if it does.
    pub(super) fn target(&self, reply: &ReplyKind) -> Option<Target> {
        let ReplyKind::Error(error) = reply else {
            return None;
        };
        let mut words = error.split(' ');
        let ask = match words.next()? {
            "ASK" => true,
            "MOVED" => false,
            _ => return None,
        };
        let (host, port) = words.nth(1)?.rsplit_once(':')?;
        let ip = match host {
            // "The node that you are asking", at another port.
            "" => self.upstream.ip(),
            host => host.parse().ok()?,
        };
        let addr = SocketAddr::new(ip, port.parse().ok()?);
        Some(Target { addr, ask })
    }

    /// Sends a redirected request on, and on again if need be; returns the reply's frame.
    pub(super) async fn follow(
        &mut self,
        mut target: Target,
        name: &str,
        frame: &[u8],
        greetings: &[Vec<u8>],
        path: &Path,
    ) -> Vec<u8> {
        for _ in 0..MAX_HOPS {
            path.log.redirect(Redirect {
                name: name.to_owned(),
                to: target.addr,
                ask: target.ask,
            });
            let mut held = path.redirects_held.subscribe();
            // The sender lives in `path`.
            held.wait_for(|held| !held).await.ok();
            let (kind, reply) = match self.ask(target, frame, greetings).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.nodes.remove(&target.addr);
                    return format!("-ERR proxy: node {} failed: {error}\r\n", target.addr)
                        .into_bytes();
                }
            };
            match self.target(&kind) {
                Some(next) => target = next,
                None => return reply,
            }
        }
        b"-ERR proxy: too many redirections\r\n".to_vec()
    }

    async fn ask(
        &mut self,
        target: Target,
        frame: &[u8],
        greetings: &[Vec<u8>],
    ) -> io::Result<(ReplyKind, Vec<u8>)> {
        let node = match self.nodes.entry(target.addr) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut node = Node::connect(target.addr).await?;
                for greeting in greetings {
                    node.request(greeting).await?;
                }
                unknown.insert(node)
            }
        };
        if target.ask {
            node.request(&resp::encode(&[b"ASKING"])).await?;
        }
        node.request(frame).await
    }
}

/// A node that a request was sent to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    addr: SocketAddr,
    ask: bool,
}

impl Node {
    async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    async fn request(&mut self, frame: &[u8]) -> io::Result<(ReplyKind, Vec<u8>)> {
        self.stream.write_all(frame).await?;
        loop {
            let reply = resp::first_reply(&self.unread).map_err(io::Error::other)?;
            if let Some(reply) = reply {
                let frame = self.unread.drain(..reply.length).collect();
                match reply.kind {
                    ReplyKind::Push(_) => continue,
                    kind => return Ok((kind, frame)),
                }
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redirections_have_a_target() {
        let redirector = Redirector::new("127.0.0.1:7000".parse().unwrap());
        let target = |error: &str| redirector.target(&ReplyKind::Error(error.into()));
        let at = |addr: &str, ask| Target {
            addr: addr.parse().unwrap(),
            ask,
        };
        assert_eq!(
            target("MOVED 3999 127.0.0.1:6381"),
            Some(at("127.0.0.1:6381", false))
        );
        assert_eq!(target("ASK 3999 :6381"), Some(at("127.0.0.1:6381", true)));
        assert_eq!(target("MOVED 1 ::1:6381"), Some(at("[::1]:6381", false)));
        assert_eq!(target("ERR MOVED 3999 127.0.0.1:6381"), None);
        assert_eq!(redirector.target(&ReplyKind::Value), None);
    }
}
