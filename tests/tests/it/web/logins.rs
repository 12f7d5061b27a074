use futures_util::future::{try_join, try_join_all};
use http::{Method, StatusCode, header};
use latchkey_tests::{Answer, Shop, TestResult, Visitor};
use serde_json::json;

use super::{add, is_logged_in, items, log_in};

/// The writer has loaded the session when it is ended, and commits afterwards.
#[tokio::test]
async fn a_logout_on_one_replica_is_final_on_all_also_against_a_slow_writer() -> TestResult {
    let shop = Shop::open(3).await?;
    let [first, second, third] = &shop.replicas[..] else {
        unreachable!()
    };
    let visitor = Visitor::new();
    log_in(&visitor, first).await?;
    add(&visitor, first, "tea").await?;
    let cookie = visitor.cookie();
    let order = json!({ "item": "coffee", "hold_ms": 3000 });
    let slow = visitor.post(first, "/api/cart", &order);
    let log_out = async {
        shop.locked().await?;
        let answer = visitor.post(second, "/api/logout", &json!({})).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        TestResult::Ok(())
    };
    let (late, ()) = try_join(slow, log_out).await?;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED, "{}", late.text);
    assert_eq!(late.json()["error"], "session_over");
    assert_eq!(visitor.cookie(), "", "the cookie was not removed");
    for replica in [first, second, third] {
        for path in ["/api/me", "/api/sessions"] {
            let request = Visitor::request(Method::GET, path).header(header::COOKIE, &cookie);
            let answer = visitor.send(replica, request, "").await?;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        }
        let request = Visitor::request(Method::GET, "/api/cart").header(header::COOKIE, &cookie);
        let answer = visitor.send(replica, request, "").await?;
        assert_eq!(answer.json(), json!({ "items": {} }));
    }
    Ok(())
}

#[tokio::test]
async fn a_login_amid_reads_with_the_old_cookie_logs_nobody_out() -> TestResult {
    let shop = Shop::open(3).await?;
    let visitor = Visitor::new();
    add(&visitor, &shop.replicas[0], "tea").await?;
    let old = visitor.cookie();
    let reads = shop.replicas.iter().cycle().take(50).enumerate();
    let reads = reads.map(async |(number, replica)| {
        let path = ["/api/me", "/api/cart"][number % 2];
        let request = Visitor::request(Method::GET, path).header(header::COOKIE, &old);
        let answer = visitor.send(replica, request, "").await?;
        assert!(!answer.sets_cookie(), "{:?}", answer.headers);
        match path {
            "/api/me" => assert_eq!(answer.status, StatusCode::UNAUTHORIZED),
            _ => assert_eq!(answer.json(), json!({ "items": { "tea": 1 } })),
        }
        TestResult::Ok(())
    });
    let login = log_in(&visitor, &shop.replicas[1]);
    try_join(try_join_all(reads), login).await?;
    assert_ne!(visitor.cookie(), old);
    for replica in &shop.replicas {
        assert!(is_logged_in(&visitor, replica).await?);
    }
    Ok(())
}

#[tokio::test]
async fn the_cookie_from_before_a_login_never_leads_to_what_is_behind_it() -> TestResult {
    let shop = Shop::open(3).await?;
    let visitor = Visitor::new();
    add(&visitor, &shop.replicas[0], "tea").await?;
    let old = visitor.cookie();
    log_in(&visitor, &shop.replicas[1]).await?;
    add(&visitor, &shop.replicas[2], "secret").await?;
    for replica in &shop.replicas {
        for (method, path) in [
            (Method::GET, "/api/me"),
            (Method::GET, "/api/cart"),
            (Method::GET, "/api/sessions"),
            (Method::POST, "/api/sessions/revoke-others"),
            (Method::POST, "/api/cart"),
            (Method::POST, "/api/logout-everywhere"),
        ] {
            let request = Visitor::request(method, path)
                .header(header::COOKIE, &old)
                .header(header::CONTENT_TYPE, "application/json");
            let answer = visitor.send(replica, request, "{\"item\":\"tea\"}").await?;
            assert!(!answer.text.contains("secret"), "{}", answer.text);
            assert!(!answer.sets_cookie(), "{path}: {:?}", answer.headers);
        }
        assert!(is_logged_in(&visitor, replica).await?);
        let items = items(&visitor, replica).await?;
        assert_eq!(items, json!({ "secret": 1, "tea": 1 }));
    }
    Ok(())
}

#[tokio::test]
async fn a_device_that_is_ended_elsewhere_is_logged_out_on_all_replicas() -> TestResult {
    let shop = Shop::open(3).await?;
    let (here, there) = (Visitor::new(), Visitor::new());
    log_in(&here, &shop.replicas[0]).await?;
    log_in(&there, &shop.replicas[1]).await?;
    let list = here.get(&shop.replicas[2], "/api/sessions").await?.json();
    let list = list.as_array().ok_or("no list")?;
    assert_eq!(list.len(), 2);
    let other = list.iter().find(|it| it["current"] == false);
    let handle = other
        .and_then(|it| it["handle"].as_str())
        .ok_or("no other")?;
    let path = format!("/api/sessions/{handle}");
    for (expected, replica) in [StatusCode::OK, StatusCode::NOT_FOUND]
        .into_iter()
        .zip(&shop.replicas)
    {
        let request = Visitor::request(Method::DELETE, &path);
        assert_eq!(here.send(replica, request, "").await?.status, expected);
    }
    for replica in &shop.replicas {
        assert!(is_logged_in(&here, replica).await?);
        assert!(!is_logged_in(&there, replica).await?);
    }
    Ok(())
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions_of_the_user_alone() -> TestResult {
    let shop = Shop::open(2).await?;
    let devices = [Visitor::new(), Visitor::new(), Visitor::new()];
    for device in &devices {
        log_in(device, &shop.replicas[0]).await?;
    }
    let grace = Visitor::new();
    let credentials = json!({ "username": "grace", "password": "hopper" });
    grace
        .post(&shop.replicas[0], "/api/login", &credentials)
        .await?;
    let path = "/api/sessions/revoke-others";
    let answer = devices[0].post(&shop.replicas[1], path, &json!({})).await?;
    assert_eq!(answer.json()["ended"], 2);
    log_in(&devices[1], &shop.replicas[0]).await?;
    let path = "/api/logout-everywhere";
    let answer = devices[0].post(&shop.replicas[1], path, &json!({})).await?;
    assert_eq!(answer.json()["ended"], 2);
    for device in &devices {
        assert!(!is_logged_in(device, &shop.replicas[0]).await?);
    }
    assert!(is_logged_in(&grace, &shop.replicas[0]).await?);
    Ok(())
}

/// Whose name is tried has to wait, wherever it is tried; who is logged in already, and everybody else, does not.
#[tokio::test]
async fn failed_logins_are_counted_on_all_replicas_together() -> TestResult {
    let shop = Shop::open(3).await?;
    let before = Visitor::new();
    log_in(&before, &shop.replicas[0]).await?;
    let wrong = json!({ "username": "ada", "password": "wrong" });
    for at in 0..4 {
        let replica = &shop.replicas[at % 3];
        let answer = Visitor::new().post(replica, "/api/login", &wrong).await?;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json()["error"], "wrong_credentials");
    }
    // Another spelling of the name, in the page.
    let form = "username=Ada&password=wrong&next=/devices";
    let visitor = Visitor::new();
    let page = visitor.submit(&shop.replicas[1], "/login", form).await?;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.text.contains("value=\"Ada\""), "{}", page.text);
    assert!(page.text.contains("value=\"/devices\""), "{}", page.text);
    let right = json!({ "username": "ada", "password": "lovelace" });
    for replica in &shop.replicas {
        for credentials in [&wrong, &right] {
            let visitor = Visitor::new();
            let refused = visitor.post(replica, "/api/login", credentials).await?;
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused.json()["error"], "too_many");
            assert_waits(&refused)?;
        }
        let form = "username=ada&password=lovelace";
        let refused = Visitor::new().submit(replica, "/login", form).await?;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.text.contains("role=\"alert\""), "{}", refused.text);
        assert_waits(&refused)?;
        assert!(is_logged_in(&before, replica).await?);
    }
    let grace = json!({ "username": "grace", "password": "hopper" });
    let visitor = Visitor::new();
    let answer = visitor.post(&shop.replicas[2], "/api/login", &grace);
    assert_eq!(answer.await?.json(), json!({ "user": "grace" }));
    assert_eq!(shop.server.keys_without_ttl().await?, [""; 0]);
    Ok(())
}

/// Nothing is set, and it is said when to come again.
fn assert_waits(refused: &Answer) -> TestResult {
    let seconds: u64 = refused.headers[header::RETRY_AFTER].to_str()?.parse()?;
    assert!((1..=15 * 60).contains(&seconds), "{seconds}");
    assert!(!refused.sets_cookie());
    Ok(())
}
