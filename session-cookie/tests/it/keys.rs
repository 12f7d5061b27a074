use session_cookie::{FernetKey, FernetKeys, SigningKey, SigningKeys};

#[test]
fn keys_are_printed_and_read_back() {
    let fernet = FernetKey::generate();
    let text = fernet.expose_base64();
    assert_eq!(text.len(), 44);
    let again = FernetKey::from_base64(&format!(" {}\n", *text)).unwrap();
    assert_eq!(again.expose_base64(), text);

    let signing = SigningKey::generate();
    assert_eq!(signing.expose_text().len(), 43);
    let again = SigningKey::from_text(signing.expose_text()).unwrap();
    assert_eq!(again.expose_text(), signing.expose_text());
}

#[test]
fn no_key_is_generated_twice() {
    let (one, other) = (FernetKey::generate(), FernetKey::generate());
    assert_ne!(one.expose_base64(), other.expose_base64());
    let (one, other) = (SigningKey::generate(), SigningKey::generate());
    assert_ne!(one.expose_text(), other.expose_text());
}

#[test]
fn fernet_keys_of_another_form_are_refused_without_showing_them() {
    let key = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    assert!(FernetKey::from_base64(key).is_ok());
    for bad in [
        "",
        "short",
        "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4",
        "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4==",
        "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4Q==",
        "cw/0x689RpI+jtRR7oE8h/eQsKImvJapLeSbXpwF4e4=",
    ] {
        let error = FernetKey::from_base64(bad).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(bad.is_empty() || !shown.contains(bad), "{shown}");
    }
}

#[test]
fn short_signing_keys_are_made_by_name_only() {
    for short in ["", "top-secret", &"x".repeat(31)] {
        let error = SigningKey::from_text(short).unwrap_err();
        assert!(short.is_empty() || !format!("{error} {error:?}").contains(short));
    }
    assert!(SigningKey::from_text(&"x".repeat(32)).is_ok());
    assert_eq!(
        SigningKey::dangerous_short("top-secret").expose_text(),
        "top-secret"
    );
}

#[test]
fn a_public_key_is_no_signing_key() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n";
    assert!(SigningKey::from_text(pem).is_err());
}

#[test]
fn debug_shows_no_key() {
    let fernet = FernetKey::generate();
    let signing = SigningKey::generate();
    let shown = format!(
        "{fernet:?} {:?} {signing:?} {:?}",
        FernetKeys::new(&fernet),
        SigningKeys::new(&signing)
    );
    let secrets = [
        fernet.expose_base64().to_string(),
        signing.expose_text().to_owned(),
    ];
    for secret in secrets {
        assert!(!shown.contains(&secret[..8]), "{shown}");
    }
}
