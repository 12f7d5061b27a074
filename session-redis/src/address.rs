//! What a URL names: a server, the nodes of a cluster, or the sentinels of a service.

use redis::{Client, ConnectionInfo};
use session_core::{Fault, StoreError};
use session_lock::link;

/// Where sessions are.
pub(crate) enum Address {
    Server(Client),
    /// Some nodes of a cluster.
    Cluster(Vec<ConnectionInfo>),
    /// The master of a service, as sentinels name it. `like`: how it is reached, but for its address.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        like: Box<ConnectionInfo>,
    },
}

/// What a URL looks like, for errors.
const FORM: &str = "the URL cannot be used; expected redis://[user[:password]@]host[:port][/database], \
     redis+cluster://[user[:password]@]host[:port],... for a cluster, \
     redis+sentinel://[user[:password]@]host[:port],.../service[/database] for sentinels, all of them with rediss \
     for TLS (feature `tls`), or unix:///path";

impl Address {
    /// Reads a URL. It may hold a password: of one that cannot be read, nothing is shown.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let refused = || {
            let fault = Fault::Unsuitable(FORM.to_owned());
            StoreError::new("connect to the store", "a URL that cannot be read", fault)
        };
        let parsed = |url: &str| link::parse_url(url).map_err(|error| refused().with_source(error));
        let Some((scheme, rest)) = url.split_once("://") else {
            return parsed(url).map(Self::Server);
        };
        let Some((tls @ ("redis" | "rediss"), kind @ ("cluster" | "sentinel"))) =
            scheme.split_once('+')
        else {
            return parsed(url).map(Self::Server);
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (format!("{user}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let info = |url: &str| Ok::<_, StoreError>(parsed(url)?.get_connection_info().clone());
        let hosts = || hosts.split(',');
        match (kind, path.split_once('/').unwrap_or((path, ""))) {
            ("cluster", ("", "")) => {
                let node = |host| info(&format!("{tls}://{user}{host}"));
                hosts()
                    .map(node)
                    .collect::<Result<_, _>>()
                    .map(Self::Cluster)
            }
            ("sentinel", (service, database)) if !service.is_empty() => {
                let sentinel = |host: &str| {
                    let port = if host.contains(':') { "" } else { ":26379" };
                    info(&format!("{tls}://{host}{port}"))
                };
                let like = info(&format!("{tls}://{user}master/{database}"))?;
                Ok(Self::Sentinel {
                    sentinels: hosts().map(sentinel).collect::<Result<_, _>>()?,
                    service: service.to_owned(),
                    like: Box::new(like),
                })
            }
            _ => Err(refused()),
        }
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
            Ok(_) => panic!("it names something else"),
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
    fn a_service_is_named_by_its_sentinels() {
        let url = "redis+sentinel://me:secret@a,b:5000/shop/3";
        let Ok(Address::Sentinel {
            sentinels,
            service,
            like,
        }) = Address::parse(url)
        else {
            panic!("it names a service");
        };
        let sentinels: Vec<_> = sentinels.iter().map(|one| one.addr().to_string()).collect();
        assert_eq!(sentinels, ["a:26379", "b:5000"]);
        assert_eq!(service, "shop");
        let settings = like.redis_settings();
        assert_eq!((settings.username(), settings.db()), (Some("me"), 3));
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        for bad in [
            "redis+cluster://",
            "redis+cluster://me:secret@",
            "redis+cluster://me:secret@a,,b",
            "redis+cluster://me:secret@a/3",
            "http+cluster://me:secret@a",
            "redis+sentinel://me:secret@a",
            "redis+sentinel://me:secret@a/shop/three",
            "redis+other://me:secret@a",
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
