//! Arbitrary bytes in the place of a `Cookie` header.

use http::{HeaderValue, Request, header};

use crate::{
    CookiePolicy, HeaderPolicy,
    spelling::Spelling,
    transport::{Named, Transport},
};

/// Reads `bytes` as a `Cookie` header and as a bearer token; whether they name a session. For fuzzing.
///
/// # Panics
/// When an ID was read that does not stand in them, or what no key has sealed or signed was opened.
#[doc(hidden)]
pub fn read_cookie_header(bytes: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return false;
    };
    let mut request = Request::new(());
    let headers = request.headers_mut();
    headers.insert(header::COOKIE, value.clone());
    headers.insert(header::AUTHORIZATION, value);
    let cookie = Transport::Cookie(CookiePolicy::default());
    let bearer = Transport::Header(HeaderPolicy::bearer());
    let mut names_one = false;
    for transport in [&cookie, &bearer] {
        let named = transport.read(&request, &Spelling::default()).named;
        if let Named::One(id) = named {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains(id.expose()), "an ID was made up");
            names_one = true;
        }
    }
    #[cfg(feature = "seal")]
    assert_nothing_opens(&request, [&cookie, &bearer]);
    names_one
}

#[cfg(feature = "seal")]
fn assert_nothing_opens(request: &Request<()>, transports: [&Transport; 2]) {
    use std::sync::LazyLock;

    use session_core::{SealingKey, SealingKeys};

    use crate::spelling::Form;

    // Reads what is signed, too.
    static SEALED: LazyLock<Spelling> = LazyLock::new(|| {
        let keys = SealingKeys::new(&SealingKey::generate());
        Spelling::keyed(keys, Form::Sealed)
    });
    for transport in transports {
        let named = transport.read(request, &SEALED).named;
        assert!(!matches!(named, Named::One(_)), "nobody has made this");
    }
}
