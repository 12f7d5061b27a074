use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a server listens and what it asks of clients.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) addr: SocketAddr,
    /// `user:password@` of the URL, percent-encoded, or empty.
    pub(super) userinfo: String,
    pub(super) database: i64,
    pub(super) unix_socket: Option<PathBuf>,
}

impl Endpoint {
    pub(super) fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            userinfo: String::new(),
            database: 0,
            unix_socket: None,
        }
    }

    pub(super) fn with_credentials(mut self, user: Option<&str>, password: Option<&str>) -> Self {
        if let Some(password) = password {
            let user = percent_encoded(user.unwrap_or_default());
            self.userinfo = format!("{user}:{}@", percent_encoded(password));
        }
        self
    }

    pub(super) fn url(&self) -> String {
        match &self.unix_socket {
            Some(path) => format!("redis+unix://{}{}", path.display(), self.unix_query()),
            None => self.url_at(self.addr),
        }
    }

    /// The same credentials and database at another address, as a proxy offers them.
    pub(super) fn url_at(&self, addr: SocketAddr) -> String {
        format!("redis://{}{addr}/{}", self.userinfo, self.database)
    }

    fn unix_query(&self) -> String {
        let userinfo = self.userinfo.trim_end_matches('@');
        match userinfo.split_once(':') {
            Some(("", password)) => format!("?pass={password}"),
            Some((user, password)) => format!("?user={user}&pass={password}"),
            None => String::new(),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.database)
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes every write");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("127.0.0.1:6379".parse().unwrap())
            .with_credentials(None, Some("p@ss: wörd/?"))
    }

    #[test]
    fn a_password_survives_the_url() {
        let mut endpoint = endpoint();
        let info = endpoint.url().into_connection_info().unwrap();
        assert_eq!(info.redis_settings().password(), Some("p@ss: wörd/?"));

        endpoint.unix_socket = Some("/tmp/redis.sock".into());
        let info = endpoint.url().into_connection_info().unwrap();
        assert_eq!(info.redis_settings().password(), Some("p@ss: wörd/?"));
    }

    #[test]
    fn debug_output_hides_the_password() {
        assert_eq!(format!("{:?}", endpoint()), "127.0.0.1:6379/0");
    }
}
