use std::net::IpAddr;

use axum::body::Body;
use http::Request;
use session_web::ClientAddress;

use crate::support::Peer;

fn request(peer: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder();
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer(peer.parse().unwrap()));
    request
}

fn addresses() -> ClientAddress {
    ClientAddress::new(|extensions| extensions.get().map(|peer: &Peer| peer.0))
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn without_trusted_proxies_the_connection_tells() {
    let request = request(
        "192.0.2.1",
        &[
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
        ],
    );
    assert_eq!(addresses().of(&request), address("192.0.2.1"));
    let nobody = Request::new(Body::empty());
    assert_eq!(addresses().of(&nobody), None);
}

#[test]
fn a_chain_is_walked_from_the_right_through_trusted_proxies_only() {
    let trusted = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"];
    let addresses = addresses().x_forwarded_for(trusted).unwrap();
    for (peer, chain, expected) in [
        // Nobody who is trusted.
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        // The client has written the first one itself.
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        (
            "10.0.0.1",
            "1.2.3.4, 203.0.113.9, 10.9.9.9, 192.0.2.7",
            "203.0.113.9",
        ),
        ("10.0.0.1", "1.2.3.4, 192.0.2.8, 192.0.2.7", "192.0.2.8"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("::ffff:10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        // A proxy that says no address answers for it.
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ] {
        let request = request(
            peer,
            &[("x-forwarded-for", chain), ("forwarded", "for=9.9.9.9")],
        );
        assert_eq!(addresses.of(&request), address(expected), "{peer} {chain}");
    }
    let lines = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    assert_eq!(
        addresses.of(&request("10.0.0.1", &lines)),
        address("203.0.113.9")
    );
}

#[test]
fn forwarded_is_read_where_it_is_said_to_be() {
    let addresses = addresses().forwarded(["10.0.0.0/8"]).unwrap();
    for (chain, expected) in [
        ("for=203.0.113.9", "203.0.113.9"),
        (
            "For=\"203.0.113.9:80\";proto=https;by=10.0.0.1",
            "203.0.113.9",
        ),
        ("for=1.2.3.4, for=\"[2001:db8::5]:4711\"", "2001:db8::5"),
        ("proto=https;for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        ("for=203.0.113.9, for=_hidden", "10.0.0.1"),
        ("for=203.0.113.9, proto=https", "10.0.0.1"),
        ("203.0.113.9", "10.0.0.1"),
    ] {
        let request = request(
            "10.0.0.1",
            &[("forwarded", chain), ("x-forwarded-for", "9.9.9.9")],
        );
        assert_eq!(addresses.of(&request), address(expected), "{chain}");
    }
}

#[test]
fn what_is_no_network_is_refused() {
    for bad in ["10.0.0.0/33", "example.org", ""] {
        assert!(addresses().x_forwarded_for([bad]).is_err(), "{bad}");
        assert!(addresses().forwarded([bad]).is_err(), "{bad}");
    }
}
