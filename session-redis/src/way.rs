//! The way to the server that has a session: the only one, or a node of a cluster.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, Value};
use session_lock::link::{Call, CallError, Link};

use crate::cluster::Cluster;

/// The way to where sessions are.
#[derive(Debug)]
pub(crate) enum Way {
    Server(Link),
    Cluster(Arc<Cluster>),
}

impl Way {
    /// For errors: the server, or the nodes that were named.
    pub(crate) fn node(&self) -> &str {
        match self {
            Self::Server(link) => link.node(),
            Self::Cluster(cluster) => cluster.name(),
        }
    }

    /// How long a call may take, connecting included.
    pub(crate) fn call_timeout(&self) -> Duration {
        match self {
            Self::Server(link) => link.call_timeout(),
            Self::Cluster(cluster) => cluster.call_timeout(),
        }
    }

    /// Whether a script may use keys of several slots.
    pub(crate) fn joins_scripts(&self) -> bool {
        match self {
            Self::Server(link) => link.joins_scripts(),
            Self::Cluster(_) => false,
        }
    }

    /// The ways to all servers that hold sessions, and the number of the map that says so.
    pub(crate) async fn links(&self) -> Result<(Vec<Link>, u64), CallError> {
        match self {
            Self::Server(link) => Ok((vec![link.clone()], 0)),
            Self::Cluster(cluster) => cluster.masters().await,
        }
    }

    /// Runs a call, together with others if they are there.
    pub(crate) async fn join(
        &self,
        call: &(impl Fn() -> Call + Sync),
    ) -> Result<Vec<Value>, CallError> {
        match self {
            Self::Server(link) => link.join(call()).await,
            Self::Cluster(cluster) => {
                let call_now = call();
                let slot = call_now.slot();
                let link = cluster.owner(slot).await?;
                let answered = link.join(call_now).await;
                cluster.settled(slot, answered, || call().alone()).await
            }
        }
    }

    /// Runs a call that is joined with no other one.
    pub(crate) async fn alone(
        &self,
        call: &(impl Fn() -> Call + Sync),
    ) -> Result<Vec<Value>, CallError> {
        match self {
            Self::Server(link) => link.call(&call().alone()).await,
            Self::Cluster(cluster) => {
                let slot = call().slot();
                let link = cluster.owner(slot).await?;
                let answered = link.call(&call().alone()).await;
                cluster.settled(slot, answered, || call().alone()).await
            }
        }
    }

    /// Runs a call with the text of its script, where the script is not known. `first`: what that server is to be told
    /// before.
    pub(crate) async fn spelled_out(
        &self,
        call: &(impl Fn() -> Call + Sync),
        first: Option<Pipeline>,
    ) -> Result<Vec<Value>, CallError> {
        let slot = call().slot();
        let link = match self {
            Self::Server(link) => link.clone(),
            Self::Cluster(cluster) => cluster.owner(slot).await?,
        };
        if let Some(first) = first {
            link.call(&first).await?;
        }
        let answered = link.call(&call().spelled_out()).await;
        match self {
            Self::Server(_) => answered,
            Self::Cluster(cluster) => {
                let spelled_out = || call().spelled_out();
                cluster.settled(slot, answered, spelled_out).await
            }
        }
    }
}
