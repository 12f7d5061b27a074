use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use session_core::ConfigError;

/// Addresses with one beginning: `10.0.0.0/8`, `fd00::/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::read(text).ok_or_else(|| {
            let found = format!("{text:?}");
            ConfigError::new("trusted network", found, "an address, or address/bits")
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address = address.parse().ok()?;
        let longest = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = match bits {
            None => longest,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        (bits <= longest).then_some(Self { address, bits })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let differ = u32::from(one) ^ u32::from(other);
                differ.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let differ = u128::from(one) ^ u128::from(other);
                differ.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// An IPv4 address that stands in an IPv6 one, as sockets for both tell them.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whom an address stands for: of IPv6 the first 64 bits, for one household or machine has all that follow.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(bits).into()
        }
    }
}

/// An address as proxies write it: with a port perhaps, in quotes and brackets perhaps.
pub(crate) fn written(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
        let address: Ipv6Addr = address.parse().ok()?;
        return is_port.then_some(plain(address.into()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(plain(address));
    }
    let (address, port) = text.rsplit_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_number(port).then_some(address.into())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_what_begins_as_they_do() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.168.1.5", "192.168.1.5", "192.168.1.4"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.0"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("::/0", "2001:db8::1", "8.8.8.8"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(address(inside)), "{network} {inside}");
            assert!(!parsed.contains(address(outside)), "{network} {outside}");
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "host",
            "10.0.0.0/",
            "10.0.0.0/+8",
        ] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(written(text), Some(address(expected)), "{text}");
        }
        for bad in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "1.2.3.4:",
            "[::1",
            "[::1]x",
            "1.2.3.4:x",
        ] {
            assert_eq!(written(bad), None, "{bad}");
        }
    }

    #[test]
    fn of_ipv6_the_first_64_bits_count() {
        let one = household(address("2001:db8:1:2:3:4:5:6"));
        assert_eq!(one, address("2001:db8:1:2::"));
        assert_eq!(household(address("192.0.2.1")), address("192.0.2.1"));
    }
}
