//! What a URL names: a server, or the nodes of a cluster.

use redis::{Client, ConnectionInfo};
use session_core::{Fault, StoreError};
use session_lock::link;

/// Where sessions are.
pub(crate) enum Address {
    Server(Client),
    /// Some nodes of a cluster.
    Cluster(Vec<ConnectionInfo>),
}

/// What a URL looks like, for errors.
const FORM: &str = "the URL cannot be used; expected redis://[user[:password]@]host[:port][/database], \
     redis+cluster://[user[:password]@]host[:port],... for a cluster, rediss://... or rediss+cluster://... with \
     feature `tls`, or unix:///path";

impl Address {
    /// Reads a URL. It may hold a password: of one that cannot be read, nothing is shown.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let refused = || {
            let fault = Fault::Unsuitable(FORM.to_owned());
            StoreError::new("connect to the store", "a URL that cannot be read", fault)
        };
        let parsed = |url: &str| link::parse_url(url).map_err(|error| refused().with_source(error));
        let Some((scheme, rest)) = url.split_once("+cluster://") else {
            return parsed(url).map(Self::Server);
        };
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), rest),
        };
        let hosts = hosts.trim_end_matches('/');
        if !matches!(scheme, "redis" | "rediss") || hosts.is_empty() || hosts.contains('/') {
            return Err(refused());
        }
        let node = |host: &str| {
            let client = parsed(&format!("{scheme}://{user}{host}"))?;
            Ok(client.get_connection_info().clone())
        };
        let nodes = hosts
            .split(',')
            .map(node)
            .collect::<Result<_, StoreError>>();
        nodes.map(Self::Cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(url: &str) -> Vec<String> {
        match Address::parse(url) {
            Ok(Address::Cluster(nodes)) => {
                nodes.iter().map(|node| node.addr().to_string()).collect()
            }
            Ok(Address::Server(_)) => panic!("it names a server"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        assert_eq!(
            nodes("redis+cluster://a:7000,b:7001,c/"),
            ["a:7000", "b:7001", "c:6379"]
        );
        let Ok(Address::Cluster(nodes)) = Address::parse("redis+cluster://me:s@cret@a,b") else {
            panic!("it names a cluster");
        };
        for node in nodes {
            assert_eq!(node.redis_settings().username(), Some("me"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        for bad in [
            "redis+cluster://",
            "redis+cluster://me:secret@",
            "redis+cluster://me:secret@a,,b",
            "redis+cluster://me:secret@a/3",
            "http+cluster://me:secret@a",
            "secret",
        ] {
            let Err(refused) = Address::parse(bad) else {
                panic!("{bad}");
            };
            assert!(
                !format!("{refused} {refused:?}").contains("secret"),
                "{bad}"
            );
        }
        assert!(matches!(
            Address::parse("redis://a"),
            Ok(Address::Server(_))
        ));
    }
}
