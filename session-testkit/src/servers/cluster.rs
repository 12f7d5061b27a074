use std::ops::Range;

use tokio::sync::OnceCell;

use super::config::Config;
use super::{RedisServer, RedisServerBuilder, ServerError, ServerKind};

const SLOTS: usize = 16_384;
const MIGRATE_TIMEOUT_MS: u64 = 10_000;

/// A Redis Cluster.
///
/// Nodes are named by their place, from 0. A slot moves in the steps of the cluster's own protocol,
/// so that a test can stop between them:
///
/// ```no_run
/// # async fn test() -> Result<(), session_testkit::servers::ServerError> {
/// use session_testkit::servers::RedisCluster;
///
/// let cluster = RedisCluster::start(2).await?;
/// let slot = cluster.slot_of("{session}:record").await?;
/// let from = cluster.owner_of(slot).await?;
/// let to = 1 - from;
/// cluster.begin_migration(slot, from, to).await?;
/// cluster.move_key("{session}:lock", from, to).await?;
/// // The lock is on the new node, the record still on the old one.
/// cluster.finish_migration(slot, to).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    /// The nodes' names within the cluster, in the same order.
    ids: Vec<String>,
    password: Option<String>,
}

impl RedisCluster {
    /// Starts `masters` nodes, spreads the slots evenly and waits until all nodes agree.
    ///
    /// Takes about two seconds, in which Redis refuses writes to a new node. For options, see
    /// [`RedisServerBuilder::start_cluster`].
    ///
    /// # Errors
    /// [`ServerError`]: no server can be had.
    ///
    /// # Panics
    /// If `masters` is 0.
    pub async fn start(masters: usize) -> Result<Self, ServerError> {
        RedisServerBuilder::default().start_cluster(masters).await
    }

    pub(super) async fn launch(
        kind: ServerKind,
        config: &Config,
        masters: usize,
        replicas: usize,
    ) -> Result<Self, ServerError> {
        assert!(masters > 0, "a cluster has a node");
        let mut cluster = Self {
            nodes: Vec::new(),
            ids: Vec::new(),
            password: config.password.clone(),
        };
        for number in 0..masters {
            let node = RedisServer::launch_without_slots(kind, config, false).await?;
            cluster.ids.push(cluster_command(&node, &["MYID"]).await?);
            // Nodes that meet with equal epochs quarrel about it first.
            let epoch = (number + 1).to_string();
            let () = cluster_command(&node, &["SET-CONFIG-EPOCH", &epoch]).await?;
            node.add_slots(slots_of(number, masters)).await?;
            cluster.nodes.push(node);
        }
        for _ in 0..masters * replicas {
            let node = RedisServer::launch_without_slots(kind, config, false).await?;
            cluster.ids.push(cluster_command(&node, &["MYID"]).await?);
            cluster.nodes.push(node);
        }
        cluster.introduce().await?;
        cluster.wait_ready().await?;
        for replica in 0..masters * replicas {
            let (node, master) = (&cluster.nodes[masters + replica], replica / replicas);
            cluster.replicate(node, master).await?;
        }
        Ok(cluster)
    }

    async fn replicate(&self, node: &RedisServer, master: usize) -> Result<(), ServerError> {
        let () = cluster_command(node, &["REPLICATE", &self.ids[master]]).await?;
        node.wait_until(|| {
            Box::pin(async {
                let info = redis::cmd("INFO").arg("replication").to_owned();
                let info: String = node.query(&info).await.map_err(|error| error.to_string())?;
                match info.contains("master_link_status:up") {
                    true => Ok(()),
                    false => Err("it has not caught up with its master".to_owned()),
                }
            })
        })
        .await
    }

    async fn introduce(&self) -> Result<(), ServerError> {
        // All pairs: hearsay takes seconds.
        for node in &self.nodes {
            for other in &self.nodes {
                let (ip, port) = host_and_port(other);
                let () = cluster_command(node, &["MEET", &ip, &port]).await?;
            }
        }
        Ok(())
    }

    /// All nodes.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The node at this place.
    ///
    /// # Panics
    /// If there are not that many nodes.
    pub fn node(&self, node: usize) -> &RedisServer {
        &self.nodes[node]
    }

    /// URLs of all nodes, as a cluster client wants them.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// One URL that names all nodes: `redis+cluster://[:password@]host:port,...`.
    pub fn url(&self) -> String {
        let user = self
            .password
            .as_ref()
            .map(|password| format!(":{password}@"));
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.addr().to_string())
            .collect();
        format!(
            "redis+cluster://{}{}",
            user.unwrap_or_default(),
            nodes.join(",")
        )
    }

    /// The cluster of three masters that all tests of this process share; the first caller starts it, and the end of the
    /// process ends it.
    ///
    /// For tests that leave it as they found it and use keys of their own.
    ///
    /// # Errors
    /// As [`start`](Self::start); a failed start is tried again by the next caller.
    pub async fn shared() -> Result<&'static Self, ServerError> {
        static SHARED: OnceCell<RedisCluster> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(3)).await
    }

    /// The node that has a key, as the first node sees it.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the first node cannot be asked.
    ///
    /// # Panics
    /// If no node has the slot.
    pub async fn node_of(&self, key: &str) -> Result<&RedisServer, ServerError> {
        let slot = self.slot_of(key).await?;
        Ok(self.node(self.owner_of(slot).await?))
    }

    /// Waits until every node knows every other and an owner for every slot.
    ///
    /// # Errors
    /// [`ServerError::NotReady`] after 30 s.
    pub async fn wait_ready(&self) -> Result<(), ServerError> {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        for node in &self.nodes {
            node.wait_ready().await?;
            node.wait_until(|| {
                Box::pin(async {
                    let info: String = cluster_command(node, &["INFO"])
                        .await
                        .map_err(|error| error.to_string())?;
                    match info.contains(&known) {
                        true => Ok(()),
                        false => Err("it does not know all nodes".to_owned()),
                    }
                })
            })
            .await?;
        }
        Ok(())
    }

    /// The slot of a key, by its hash tag if it has one.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the first node cannot be asked.
    pub async fn slot_of(&self, key: &str) -> Result<u16, ServerError> {
        cluster_command(&self.nodes[0], &["KEYSLOT", key]).await
    }

    /// The node that owns a slot, as the first node sees it.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when the first node cannot be asked.
    ///
    /// # Panics
    /// If no node owns the slot.
    pub async fn owner_of(&self, slot: u16) -> Result<usize, ServerError> {
        let owner = self.owner_seen_by(0, slot).await?;
        Ok(owner.expect("a slot has an owner"))
    }

    async fn owner_seen_by(&self, node: usize, slot: u16) -> Result<Option<usize>, ServerError> {
        let nodes: String = cluster_command(&self.nodes[node], &["NODES"]).await?;
        let mut lines = nodes
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let owner = lines.find(|words| words.iter().skip(8).any(|range| contains(range, slot)));
        let place = |owner: Vec<&str>| self.ids.iter().position(|id| id == owner[0]);
        Ok(owner.and_then(place))
    }

    /// Waits until another node than `old` owns a slot, as `witness` sees it; that node.
    ///
    /// # Errors
    /// [`ServerError::NotReady`] after 30 s.
    ///
    /// # Panics
    /// If nobody owns the slot a moment later.
    pub async fn successor_of(
        &self,
        old: usize,
        slot: u16,
        witness: usize,
    ) -> Result<usize, ServerError> {
        let node = &self.nodes[witness];
        node.wait_until(|| {
            Box::pin(async {
                let owner = self.owner_seen_by(witness, slot).await;
                match owner.map_err(|error| error.to_string())? {
                    Some(owner) if owner != old => Ok(()),
                    _ => Err("nobody has taken over".to_owned()),
                }
            })
        })
        .await?;
        let owner = self.owner_seen_by(witness, slot).await?;
        Ok(owner.expect("a slot has an owner"))
    }

    /// Marks a slot as moving: the old node answers for keys that it still has and sends clients
    /// to the new one (`ASK`) for those that it has not.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node refuses, such as one that does not own the slot.
    pub async fn begin_migration(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> Result<(), ServerError> {
        self.set_slot(to, slot, "IMPORTING", from).await?;
        self.set_slot(from, slot, "MIGRATING", to).await
    }

    /// Moves one key of a moving slot; whether it was there.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node refuses.
    pub async fn move_key(&self, key: &str, from: usize, to: usize) -> Result<bool, ServerError> {
        let (ip, port) = host_and_port(&self.nodes[to]);
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg(&[&ip, &port, "", "0"]).arg(MIGRATE_TIMEOUT_MS);
        if let Some(password) = &self.password {
            migrate.arg("AUTH").arg(password);
        }
        let answer: String = self.nodes[from].query(migrate.arg("KEYS").arg(key)).await?;
        Ok(answer == "OK")
    }

    /// Gives the slot to its new node for good, on all nodes.
    ///
    /// Keys that were not moved stay behind, out of reach.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node refuses.
    pub async fn finish_migration(&self, slot: u16, to: usize) -> Result<(), ServerError> {
        // The new node first: should the step be interrupted, somebody owns the slot.
        self.set_slot(to, slot, "NODE", to).await?;
        for node in (0..self.nodes.len()).filter(|node| *node != to) {
            self.set_slot(node, slot, "NODE", to).await?;
        }
        Ok(())
    }

    /// Moves a slot with all its keys.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node refuses.
    pub async fn migrate_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), ServerError> {
        self.begin_migration(slot, from, to).await?;
        loop {
            let slot = slot.to_string();
            let keys: Vec<String> =
                cluster_command(&self.nodes[from], &["GETKEYSINSLOT", &slot, "100"]).await?;
            if keys.is_empty() {
                break;
            }
            for key in keys {
                self.move_key(&key, from, to).await?;
            }
        }
        self.finish_migration(slot, to).await
    }

    /// Keys of all nodes that match the glob `pattern`, sorted.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node cannot be asked.
    pub async fn keys(&self, pattern: &str) -> Result<Vec<String>, ServerError> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            keys.extend(node.keys(pattern).await?);
        }
        keys.sort();
        Ok(keys)
    }

    /// Keys of all nodes that would stay for ever, sorted.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node cannot be asked.
    pub async fn keys_without_ttl(&self) -> Result<Vec<String>, ServerError> {
        self.keys_without_ttl_like("*").await
    }

    /// Keys of all nodes that match the glob `pattern` and would stay for ever, sorted.
    ///
    /// # Errors
    /// [`ServerError::Redis`] when a node cannot be asked.
    pub async fn keys_without_ttl_like(&self, pattern: &str) -> Result<Vec<String>, ServerError> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            keys.extend(node.keys_without_ttl_like(pattern).await?);
        }
        keys.sort();
        Ok(keys)
    }

    async fn set_slot(
        &self,
        node: usize,
        slot: u16,
        state: &str,
        other: usize,
    ) -> Result<(), ServerError> {
        let slot = slot.to_string();
        cluster_command(
            &self.nodes[node],
            &["SETSLOT", &slot, state, &self.ids[other]],
        )
        .await
    }
}

async fn cluster_command<T: redis::FromRedisValue>(
    node: &RedisServer,
    args: &[&str],
) -> Result<T, ServerError> {
    node.query(redis::cmd("CLUSTER").arg(args)).await
}

fn host_and_port(node: &RedisServer) -> (String, String) {
    let addr = node.addr();
    (addr.ip().to_string(), addr.port().to_string())
}

fn slots_of(node: usize, nodes: usize) -> Range<u16> {
    let bound = |node: usize| {
        u16::try_from(node * SLOTS / nodes).expect("a bound is at most the number of slots")
    };
    bound(node)..bound(node + 1)
}

/// Whether a range as `CLUSTER NODES` writes it (`7` or `0-5460`) holds the slot; slots on the
/// move are written otherwise (`[7->-...]`).
fn contains(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&slot),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_all_nodes_are_all_slots_once() {
        for nodes in 1..=7 {
            let slots: Vec<_> = (0..nodes).flat_map(|node| slots_of(node, nodes)).collect();
            assert!(slots.into_iter().eq(0..16_384));
        }
    }

    #[test]
    fn a_moving_slot_is_no_range() {
        assert!(contains("7", 7));
        assert!(contains("0-5460", 5460));
        assert!(!contains(
            "[7->-07c37dfeb235213a872192d90877d0cd55635b91]",
            7
        ));
    }
}
