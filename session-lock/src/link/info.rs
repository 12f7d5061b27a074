use redis::Value;

use crate::Fault;

/// What a server says of itself.
#[derive(Debug)]
pub struct ServerInfo {
    text: String,
}

impl ServerInfo {
    /// The answer to `INFO`; `None` if it is not permitted.
    pub fn read(answer: &Value) -> Option<Self> {
        let text = match answer {
            Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
            Value::VerbatimString { text, .. } => text.clone(),
            _ => return None,
        };
        Some(Self { text })
    }

    /// A name for this run of the server, which no other run has.
    pub fn run_id(&self) -> Option<&str> {
        self.field("run_id")
    }

    /// Whether the server is certainly no node of a cluster.
    pub fn is_standalone(&self) -> bool {
        self.field("redis_mode") == Some("standalone")
    }

    /// Whether the server is certainly a node of a cluster.
    pub fn is_clustered(&self) -> bool {
        self.field("redis_mode") == Some("cluster")
    }

    /// The first two numbers of the version; zeros if it is not told. Valkey tells which Redis it is like.
    pub fn version(&self) -> (u32, u32) {
        let version = self.field("redis_version").unwrap_or_default();
        let mut numbers = version
            .split('.')
            .map_while(|number| number.parse::<u32>().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// Whether the server keeps what it is given: new enough, no replica, loaded, and evicting nothing, unless its
    /// policy is accepted by name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, accepted_policy: Option<&str>) -> Result<(), Fault> {
        if self.version() < (6, 2) {
            let version = self.field("redis_version").unwrap_or_default();
            return Err(Fault::Unsuitable(format!(
                "the server has version {version:?}; needed is 6.2 or newer"
            )));
        }
        if self.field("loading").is_some_and(|loading| loading != "0") {
            return Err(Fault::Loading);
        }
        if self.field("role").is_some_and(|role| role != "master") {
            return Err(Fault::ReadOnly);
        }
        match self.field("maxmemory_policy") {
            Some(policy) if policy != "noeviction" && Some(policy) != accepted_policy => {
                Err(Fault::Unsuitable(format!(
                    "the server evicts keys (maxmemory-policy {policy}), which loses what it was given; set noeviction, or accept the policy by its name"
                )))
            }
            _ => Ok(()),
        }
    }

    /// What the server says under that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "redis_version:7.0.15\r\nloading:0\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n";

    fn check(text: &str, accepted_policy: Option<&str>) -> Result<(), Fault> {
        let info = ServerInfo::read(&Value::BulkString(text.as_bytes().to_vec()));
        info.unwrap().check(accepted_policy)
    }

    #[test]
    fn a_server_that_evicts_is_refused_unless_accepted_by_name() {
        assert_eq!(check(GOOD, None), Ok(()));
        let evicting = GOOD.replace("noeviction", "allkeys-lru");
        assert!(matches!(check(&evicting, None), Err(Fault::Unsuitable(_))));
        assert!(check(&evicting, Some("volatile-lru")).is_err());
        assert_eq!(check(&evicting, Some("allkeys-lru")), Ok(()));
    }

    #[test]
    fn replicas_loading_and_old_servers_are_refused() {
        let replica = GOOD.replace("master", "slave");
        assert_eq!(check(&replica, None), Err(Fault::ReadOnly));
        let loading = GOOD.replace("loading:0", "loading:1");
        assert_eq!(check(&loading, None), Err(Fault::Loading));
        assert!(check(&GOOD.replace("7.0.15", "6.0.20"), None).is_err());
        assert_eq!(check(&GOOD.replace("7.0.15", "6.2.0"), None), Ok(()));
    }

    #[test]
    fn an_error_is_no_information() {
        assert!(ServerInfo::read(&Value::Nil).is_none());
    }
}
