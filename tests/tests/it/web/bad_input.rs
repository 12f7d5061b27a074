use http::{Method, StatusCode, header};
use latchkey_tests::{Shop, TestResult, Visitor};

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const OTHER_ID: &str = "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// All that is wrong with a cookie leads to no session; of two different ones it cannot be told which is meant.
#[tokio::test]
async fn bad_cookies_lead_to_no_session_and_store_nothing() -> TestResult {
    let shop = Shop::open(1).await?;
    let long = "A".repeat(10 * 1024);
    let cookies = [
        (format!("session={ID}"), 200, 401),
        (format!("session={ID}; session={ID}"), 200, 401),
        (format!("session={ID}; session={OTHER_ID}"), 400, 400),
        (format!("session={ID}; session="), 400, 400),
        ("session=".to_owned(), 200, 401),
        ("session=%ZZ%".to_owned(), 200, 401),
        ("session=%00%ff".to_owned(), 200, 401),
        ("session=not/base64+at=all".to_owned(), 200, 401),
        (format!("session={long}"), 200, 401),
        (format!("session={ID}.c2lnbmF0dXJl"), 200, 401),
        (format!("session=\"{ID}\""), 200, 401),
        ("session".to_owned(), 200, 401),
        (";;=;,session==".to_owned(), 200, 401),
        ("__Host-session=x; other=y".to_owned(), 200, 401),
    ];
    for (cookie, cart, me) in &cookies {
        for (path, status) in [("/api/cart", cart), ("/api/me", me)] {
            let request = Visitor::request(Method::GET, path).header(header::COOKIE, cookie);
            let answer = Visitor::new().send(&shop.replicas[0], request, "").await?;
            assert_eq!(answer.status, *status, "{path} with {cookie}");
            assert!(!answer.sets_cookie(), "{path} with {cookie}");
        }
        let request = Visitor::request(Method::GET, "/").header(header::COOKIE, cookie);
        let answer = Visitor::new().send(&shop.replicas[0], request, "").await?;
        assert_eq!(answer.status, *cart, "{cookie}");
    }
    assert_eq!(shop.records().await?, 0);
    Ok(())
}

/// Nobody can choose the ID of a session.
#[tokio::test]
async fn an_id_that_names_no_session_is_replaced_when_something_is_stored() -> TestResult {
    let shop = Shop::open(1).await?;
    let visitor = Visitor::new();
    let request = Visitor::request(Method::POST, "/api/cart")
        .header(header::COOKIE, format!("session={ID}"))
        .header(header::CONTENT_TYPE, "application/json");
    let answer = visitor
        .send(&shop.replicas[0], request, r#"{"item":"tea"}"#)
        .await?;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(visitor.cookie().starts_with("session="));
    assert!(!visitor.cookie().contains(ID));
    assert_eq!(shop.records().await?, 1);
    Ok(())
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Path, content type, body, status.
const BAD_BODIES: [(&str, &str, &str, u16); 38] = [
    ("/api/cart", JSON, "", 400),
    ("/api/cart", JSON, "{", 400),
    ("/api/cart", JSON, "{\"item\":\"\\ud800\"}", 400),
    ("/api/cart", JSON, "null", 422),
    ("/api/cart", JSON, "{}", 422),
    ("/api/cart", JSON, "{\"item\":7}", 422),
    ("/api/cart", JSON, "{\"item\":\"\"}", 422),
    ("/api/cart", JSON, "{\"item\":\"a\\u0000b\"}", 422),
    (
        "/api/cart",
        JSON,
        "{\"item\":\"tea\",\"hold_ms\":5001}",
        422,
    ),
    ("/api/cart", JSON, "{\"item\":\"tea\",\"hold_ms\":-1}", 422),
    (
        "/api/cart",
        JSON,
        "{\"item\":\"tea\",\"hold_ms\":1e99}",
        422,
    ),
    (
        "/api/cart",
        JSON,
        "{\"item\":\"tea\",\"mode\":\"fast\"}",
        422,
    ),
    ("/api/cart", "text/plain", "{\"item\":\"tea\"}", 415),
    ("/api/cart", FORM, "item=tea", 415),
    ("/api/login", JSON, "{", 400),
    ("/api/login", JSON, "[]", 400),
    ("/api/login", JSON, "{}", 422),
    ("/api/login", JSON, "{\"username\":\"ada\"}", 422),
    (
        "/api/login",
        JSON,
        "{\"username\":\"ada\",\"password\":\"\"}",
        422,
    ),
    (
        "/api/login",
        JSON,
        "{\"username\":null,\"password\":\"x\"}",
        400,
    ),
    (
        "/api/login",
        JSON,
        "{\"username\":\"ada\",\"password\":\"hopper\"}",
        401,
    ),
    (
        "/api/login",
        JSON,
        "{\"username\":\"eve\",\"password\":\"lovelace\"}",
        401,
    ),
    (
        "/api/login",
        JSON,
        "{\"username\":\"a\\u0000\",\"password\":\"x\"}",
        401,
    ),
    ("/api/login", FORM, "username=ada&password=lovelace", 415),
    ("/api/logout", JSON, "{}", 401),
    ("/api/logout-everywhere", JSON, "{}", 401),
    ("/api/sessions/revoke-others", JSON, "{}", 401),
    ("/api/me", JSON, "{}", 405),
    ("/api/nowhere", JSON, "{}", 404),
    ("/login", FORM, "username=ada", 422),
    ("/login", FORM, "username=ada&password=%ff", 401),
    ("/login", FORM, "username=ada&password=hopper", 401),
    (
        "/login",
        "text/plain",
        "username=ada&password=lovelace",
        415,
    ),
    ("/login", JSON, "{", 400),
    ("/cart", FORM, "item=", 422),
    ("/cart", FORM, "thing=tea", 422),
    ("/lab", FORM, "requests=100000&hold_ms=5&mode=both", 422),
    (
        "/lab",
        FORM,
        "requests=10&hold_ms=5&mode=both&mode=both",
        422,
    ),
];

#[tokio::test]
async fn bad_bodies_have_a_status_each_and_store_nothing() -> TestResult {
    let shop = Shop::open(1).await?;
    for (path, kind, body, status) in BAD_BODIES {
        let request = Visitor::request(Method::POST, path).header(header::CONTENT_TYPE, kind);
        let answer = Visitor::new()
            .send(&shop.replicas[0], request, body)
            .await?;
        assert_eq!(answer.status, status, "{path} with {body}: {}", answer.text);
        assert!(!answer.sets_cookie(), "{path} with {body}");
        if path.starts_with("/api/") {
            let error = answer.json();
            assert!(
                error["error"].is_string(),
                "{path} with {body}: {}",
                answer.text
            );
            assert!(
                error["message"].is_string(),
                "{path} with {body}: {}",
                answer.text
            );
        }
    }
    let long = format!("{{\"item\":\"{}\"}}", "x".repeat(20_000));
    for (path, kind) in [
        ("/api/cart", JSON),
        ("/api/login", JSON),
        ("/login", FORM),
        ("/lab", FORM),
    ] {
        let request = Visitor::request(Method::POST, path).header(header::CONTENT_TYPE, kind);
        let answer = Visitor::new()
            .send(&shop.replicas[0], request, &long)
            .await?;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    assert_eq!(shop.records().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_login_goes_on_to_pages_of_the_shop_alone() -> TestResult {
    let shop = Shop::open(1).await?;
    for next in [
        "//evil.example",
        "https://evil.example/",
        "/%09/evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "devices",
        "%0d%0aLocation: x",
    ] {
        let form = format!("username=ada&password=lovelace&next={next}");
        let answer = Visitor::new()
            .submit(&shop.replicas[0], "/login", &form)
            .await?;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{next}");
        assert_eq!(answer.headers[header::LOCATION], "/", "{next}");
    }
    Ok(())
}

#[tokio::test]
async fn other_sites_cannot_act_in_the_name_of_a_user() -> TestResult {
    let shop = Shop::open(1).await?;
    for (path, kind, body) in [
        ("/api/cart", JSON, r#"{"item":"tea"}"#),
        (
            "/api/login",
            JSON,
            r#"{"username":"ada","password":"lovelace"}"#,
        ),
        ("/login", FORM, "username=ada&password=lovelace"),
        ("/cart", FORM, "item=tea"),
    ] {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
        ] {
            let request = Visitor::request(Method::POST, path)
                .header(header::CONTENT_TYPE, kind)
                .header(name, value);
            let answer = Visitor::new()
                .send(&shop.replicas[0], request, body)
                .await?;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {name}");
        }
    }
    assert_eq!(shop.records().await?, 0);
    Ok(())
}
