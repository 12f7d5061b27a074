use redis::{ConnectionAddr, ConnectionInfo, Value};

/// Where a node of a cluster sends a command that it has not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "for this project's own crates")]
pub enum Redirect {
    /// The slot is there now.
    Moved(String),
    /// The key may be there already: only this command is to go there.
    Ask(String),
    /// Nobody can say, for a moment.
    Again,
}

impl Redirect {
    /// What an answer says, if it is no answer to the command.
    pub fn of(answer: &Value) -> Option<Self> {
        let Value::ServerError(error) = answer else {
            return None;
        };
        let address = || {
            let address = error.details()?.split(' ').nth(1)?;
            // Without a host it is another port of the same one: the whole map has to be asked for.
            let (host, _port) = address.rsplit_once(':')?;
            (!host.is_empty() && host != "?").then(|| address.to_owned())
        };
        match error.code() {
            "MOVED" => Some(address().map_or(Self::Again, Self::Moved)),
            "ASK" => Some(address().map_or(Self::Again, Self::Ask)),
            "TRYAGAIN" | "CLUSTERDOWN" => Some(Self::Again),
            _ => None,
        }
    }
}

/// Another server at `host:port`, which is reached like this one: same user, same TLS. `None` if that is no address.
pub fn at_address(like: &ConnectionInfo, address: &str) -> Option<ConnectionInfo> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = port.parse().ok()?;
    let address = match like.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    Some(like.clone().set_addr(address))
}

#[cfg(test)]
mod tests {
    use redis::ServerError;

    use super::*;

    fn answer(text: &str) -> Option<Redirect> {
        let parsed = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        let answer = match parsed {
            Ok(value) => value,
            Err(error) => Value::ServerError(ServerError::try_from(error).unwrap()),
        };
        Redirect::of(&answer)
    }

    #[test]
    fn redirects_are_read() {
        let moved = Redirect::Moved("10.0.0.7:6381".to_owned());
        assert_eq!(answer("MOVED 3999 10.0.0.7:6381"), Some(moved));
        let ask = Redirect::Ask("::1:6381".to_owned());
        assert_eq!(answer("ASK 3999 ::1:6381"), Some(ask));
        for unclear in [
            "MOVED 3999 :6381",
            "MOVED 3999 ?:6381",
            "TRYAGAIN Multiple keys",
            "CLUSTERDOWN Hash",
        ] {
            assert_eq!(answer(unclear), Some(Redirect::Again), "{unclear}");
        }
        assert_eq!(answer("ERR something"), None);
    }

    #[test]
    fn another_address_is_reached_in_the_same_way() {
        let client = redis::Client::open("redis://user:secret@seed:1/").unwrap();
        let other = at_address(client.get_connection_info(), "node:7001").unwrap();
        assert_eq!(other.addr().to_string(), "node:7001");
        assert_eq!(other.redis_settings().username(), Some("user"));
        assert!(at_address(client.get_connection_info(), "no port").is_none());
    }
}
