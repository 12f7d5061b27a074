use http::{Method, StatusCode, header};
use latchkey_tests::{Shop, TestResult, Visitor};
use serde_json::json;

use super::{add, items, log_in};

#[tokio::test]
async fn a_cart_is_kept_over_a_login_and_gone_after_the_logout() -> TestResult {
    let shop = Shop::open(2).await?;
    let [first, second] = &shop.replicas[..] else {
        unreachable!()
    };
    let visitor = Visitor::new();
    assert_eq!(items(&visitor, first).await?, json!({}));
    assert_eq!(visitor.cookie(), "", "reading makes no session");
    assert_eq!(
        add(&visitor, first, "tea").await?["items"],
        json!({ "tea": 1 })
    );
    log_in(&visitor, second).await?;
    assert_eq!(items(&visitor, first).await?, json!({ "tea": 1 }));
    let me = visitor.get(first, "/api/me").await?.json();
    assert_eq!(me["user"], "ada");
    assert_eq!(me["handle"].as_str().map(str::len), Some(36));
    let moment = me["logged_in_at"].as_str().ok_or("no moment")?;
    assert!(moment.len() == 20 && moment.ends_with('Z'), "{moment}");
    let list = visitor.get(first, "/api/sessions").await?.json();
    assert_eq!(list[0]["handle"], me["handle"]);
    assert_eq!(list[0]["created"], me["logged_in_at"]);
    assert_eq!(list[0]["current"], true);
    assert_eq!(list[0]["label"], "unknown device");
    assert!(list[0]["last_seen"].is_string());
    let answer = visitor.post(second, "/api/logout", &json!({})).await?;
    assert_eq!(
        (answer.status, visitor.cookie()),
        (StatusCode::OK, String::new())
    );
    assert_eq!(items(&visitor, first).await?, json!({}));
    Ok(())
}

#[tokio::test]
async fn every_answer_forbids_what_the_pages_do_not_need() -> TestResult {
    let shop = Shop::open(1).await?;
    let visitor = Visitor::new();
    for path in [
        "/",
        "/login",
        "/lab",
        "/devices",
        "/nowhere",
        "/api/cart",
        "/api/nowhere",
        "/healthz",
    ] {
        let answer = visitor.get(&shop.replicas[0], path).await?;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str()?;
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains("data:"),
            "{policy}"
        );
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
        for inline in [
            "<style", " style=", "<script>", " onclick", "http://", "https://",
        ] {
            assert!(!answer.text.contains(inline), "{path} has {inline}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn devices_are_shown_to_those_who_are_logged_in_alone() -> TestResult {
    let shop = Shop::open(1).await?;
    let visitor = Visitor::new();
    let request = || Visitor::request(Method::GET, "/devices").header(header::ACCEPT, "text/html");
    let answer = visitor.send(&shop.replicas[0], request(), "").await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers[header::LOCATION], "/login?next=/devices");
    let form = "username=ada&password=lovelace&next=/devices";
    let answer = visitor.submit(&shop.replicas[0], "/login", form).await?;
    assert_eq!(answer.headers[header::LOCATION], "/devices");
    let answer = visitor.send(&shop.replicas[0], request(), "").await?;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("Ada Lovelace"), "{}", answer.text);
    Ok(())
}
