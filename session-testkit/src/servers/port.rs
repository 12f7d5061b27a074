use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::fs::{FlockOperation, flock};

use super::ServerError;

// Below the ports that the kernel gives to outgoing connections (32768 and up on Linux). One of
// those could be taken by a client while its server is down, even by the very client that tries
// to reconnect: TCP then connects it to itself.
const FIRST: u16 = 11_000;
const COUNT: u16 = 10_000;
/// A node of a Redis cluster also listens here, counted from its port.
const BUS_OFFSET: u16 = 10_000;

/// A port of this machine that no other test takes, also while nothing listens on it.
///
/// The lock on its file ends with the process, whatever its end.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(super) fn lease() -> Result<Self, ServerError> {
        let uid = rustix::process::getuid().as_raw();
        let dir = std::env::temp_dir().join(format!("latchkey-test-ports-{uid}"));
        fs::create_dir_all(&dir).map_err(ServerError::io("create the directory of port locks"))?;

        let start = random() % u64::from(COUNT);
        for step in 0..COUNT {
            let offset = (start + u64::from(step)) % u64::from(COUNT);
            let number = FIRST + u16::try_from(offset).expect("an offset is below COUNT");
            let lock = File::create(dir.join(number.to_string()))
                .map_err(ServerError::io("create the lock file of a port"))?;
            let ours = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            if ours && is_free(number) && is_free(number + BUS_OFFSET) {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        Err(ServerError::NoPort {
            first: FIRST,
            last: FIRST + COUNT - 1,
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A number that differs from process to process and from call to call.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn leased_ports_differ_although_nothing_listens_on_them() {
        let ports: Vec<_> = (0..200).map(|_| Port::lease().unwrap()).collect();
        let numbers: HashSet<_> = ports.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), ports.len());
    }
}
