use std::fmt::{self, Write as _};
use std::path::Path;

/// What a server is told in its `redis.conf`, beside where it listens and where its files are.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Config {
    pub(super) durable: bool,
    pub(super) cluster: bool,
    pub(super) sentinel: bool,
    pub(super) password: Option<String>,
    pub(super) directives: Vec<(String, String)>,
}

impl Config {
    pub(super) fn redis_conf(&self, port: u16, dir: &Path, unix_socket: Option<&Path>) -> String {
        let mut conf = Conf::default();
        conf.line("bind", "127.0.0.1");
        conf.line("port", &port.to_string());
        conf.line("dir", &quoted(&dir.to_string_lossy()));
        if !self.sentinel {
            conf.line("save", r#""""#);
        }
        if self.durable {
            conf.line("appendonly", "yes");
            conf.line("appendfsync", "always");
        }
        if self.cluster {
            conf.line("cluster-enabled", "yes");
        }
        if let Some(password) = &self.password {
            conf.line("requirepass", &quoted(password));
        }
        if let Some(path) = unix_socket {
            conf.line("unixsocket", &quoted(&path.to_string_lossy()));
        }
        for (name, value) in &self.directives {
            conf.line(name, if value.is_empty() { r#""""# } else { value });
        }
        conf.text
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Names only: a value can be a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.directives.iter().map(|(name, _)| name).collect();
        f.debug_struct("Config")
            .field("durable", &self.durable)
            .field("cluster", &self.cluster)
            .field("sentinel", &self.sentinel)
            .field("password", &self.password.is_some())
            .field("directives", &names)
            .finish()
    }
}

#[derive(Default)]
struct Conf {
    text: String,
}

impl Conf {
    fn line(&mut self, name: &str, value: &str) {
        writeln!(self.text, "{name} {value}").expect("a String takes every write");
    }
}

fn quoted(value: &str) -> String {
    format!(r#""{}""#, value.replace('\\', r"\\").replace('"', r#"\""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_come_last_so_that_they_win() {
        let config = Config {
            durable: true,
            directives: vec![
                ("appendfsync".into(), "no".into()),
                ("notify-keyspace-events".into(), String::new()),
            ],
            ..Config::default()
        };
        let conf = config.redis_conf(7, Path::new("/data"), None);
        assert!(conf.ends_with("appendfsync no\nnotify-keyspace-events \"\"\n"));
    }

    #[test]
    fn debug_output_hides_passwords() {
        let config = Config {
            password: Some("hidden".into()),
            directives: vec![("masterauth".into(), "hidden".into())],
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
