use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use shop::BoxError;
use tokio::net::TcpListener;

/// Sends each request to the next server. Says in `x-served-by` which one it was.
#[derive(Clone)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    ring: Arc<Ring>,
}

struct Ring {
    /// With the number that reports know it by.
    servers: RwLock<Vec<(usize, SocketAddr)>>,
    next: AtomicUsize,
    client: Client<HttpConnector, Body>,
}

pub(crate) const SERVED_BY: &str = "x-served-by";

impl Proxy {
    pub(crate) async fn start(
        listen: SocketAddr,
        servers: &[SocketAddr],
    ) -> Result<Self, BoxError> {
        let ring = Arc::new(Ring {
            servers: RwLock::new((1..).zip(servers.iter().copied()).collect()),
            next: AtomicUsize::new(0),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let router = Router::new()
            .fallback(pass_on)
            .with_state(Arc::clone(&ring));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { addr, ring })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends nothing to that one any more.
    pub(crate) fn forget(&self, gone: SocketAddr) {
        let servers = self.ring.servers.write();
        let mut servers = servers.unwrap_or_else(PoisonError::into_inner);
        servers.retain(|(_, addr)| *addr != gone);
    }
}

async fn pass_on(State(ring): State<Arc<Ring>>, mut request: Request) -> Response {
    let Some((number, addr)) = ring.next() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://{addr}{path}").parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    // `Host` stays: the browser is to keep its cookies for the proxy.
    *request.uri_mut() = uri;
    request.headers_mut().remove(header::CONNECTION);
    match ring.client.request(request).await {
        Ok(answer) => {
            let mut answer = answer.map(Body::new);
            answer
                .headers_mut()
                .insert(SERVED_BY, HeaderValue::from(number));
            answer
        }
        // Whether the server has done it is not known, so it is not sent to another one.
        Err(_gone) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Ring {
    fn next(&self) -> Option<(usize, SocketAddr)> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let at = turn.checked_rem(servers.len())?;
        servers.get(at).copied()
    }
}
