use futures_util::future::try_join_all;
use http::StatusCode;
use latchkey_tests::{Shop, TestResult, Visitor};
use serde_json::json;

use super::{add, items};

/// Sends so many orders at once, in turn to all replicas; how many were answered with success.
async fn order(shop: &Shop, visitor: &Visitor, number: usize, mode: &str) -> TestResult<usize> {
    let order =
        json!({ "item": "tea", "mode": mode, "hold_ms": if mode == "locked" { 0 } else { 200 } });
    let replicas = shop.replicas.iter().cycle().take(number);
    let orders = replicas.map(|replica| visitor.post(replica, "/api/cart", &order));
    let answers = try_join_all(orders).await?;
    let is_fine = |answer: &&latchkey_tests::Answer| answer.status == StatusCode::OK;
    Ok(answers.iter().filter(is_fine).count())
}

#[tokio::test]
async fn two_hundred_parallel_posts_to_one_cart_lose_nothing() -> TestResult {
    let shop = Shop::open(3).await?;
    let visitor = Visitor::new();
    add(&visitor, &shop.replicas[0], "coffee").await?;
    assert_eq!(order(&shop, &visitor, 200, "locked").await?, 200);
    for replica in &shop.replicas {
        let items = items(&visitor, replica).await?;
        assert_eq!(items, json!({ "coffee": 1, "tea": 200 }));
    }
    assert_eq!(shop.server.keys_without_ttl().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn without_the_lock_parallel_posts_overwrite_each_other() -> TestResult {
    let shop = Shop::open(3).await?;
    let visitor = Visitor::new();
    add(&visitor, &shop.replicas[0], "coffee").await?;
    assert_eq!(order(&shop, &visitor, 60, "unlocked").await?, 60);
    let items = items(&visitor, &shop.replicas[1]).await?;
    let stored = items["tea"].as_u64().ok_or("no tea")?;
    assert!(stored < 60, "{stored} of 60 are stored");
    Ok(())
}

/// The number on the page that is named so, in one of the two modes.
fn number(page: &str, mode: &str, name: &str) -> Option<u64> {
    let (_, section) = page.split_once(&format!("<section id=\"{mode}\""))?;
    let (_, number) = section.split_once(&format!("data-number=\"{name}\">"))?;
    number.split_once('<')?.0.parse().ok()
}

#[tokio::test]
async fn the_race_lab_draws_what_the_lock_is_for() -> TestResult {
    let shop = Shop::open(1).await?;
    let form = "requests=60&hold_ms=20&mode=both";
    let visitor = Visitor::new();
    let answer = visitor.submit(&shop.replicas[0], "/lab", form).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let page = &answer.text;
    for mode in ["locked", "unlocked"] {
        assert_eq!(number(page, mode, "expected"), Some(60));
    }
    assert_eq!(number(page, "locked", "stored"), Some(60));
    assert_eq!(number(page, "locked", "lost"), Some(0));
    let lost = number(page, "unlocked", "lost").ok_or("no number")?;
    assert!(lost > 0);
    assert_eq!(number(page, "unlocked", "stored"), Some(60 - lost));
    assert_eq!(page.matches("<svg class=\"race\"").count(), 2);
    Ok(())
}
