//! The example `web`: three processes on one Redis, over real HTTP.

mod api; // what it answers when all goes well
mod bad_input; // what clients may send
mod logins; // logging in and out, on whichever replica
mod races; // many requests at one cart
mod replicas; // the example `replicas`
mod users; // users in PostgreSQL
mod vanishing; // clients and replicas that are gone while they hold a cart

use http::StatusCode;
use latchkey_tests::{Replica, TestResult, Visitor};
use serde_json::{Value, json};

async fn log_in(visitor: &Visitor, replica: &Replica) -> TestResult {
    let credentials = json!({ "username": "ada", "password": "lovelace" });
    let answer = visitor.post(replica, "/api/login", &credentials).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json(), json!({ "user": "ada" }));
    Ok(())
}

async fn add(visitor: &Visitor, replica: &Replica, item: &str) -> TestResult<Value> {
    let order = json!({ "item": item });
    let answer = visitor.post(replica, "/api/cart", &order).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    Ok(answer.json())
}

async fn items(visitor: &Visitor, replica: &Replica) -> TestResult<Value> {
    let answer = visitor.get(replica, "/api/cart").await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    Ok(answer.json()["items"].clone())
}

async fn is_logged_in(visitor: &Visitor, replica: &Replica) -> TestResult<bool> {
    let answer = visitor.get(replica, "/api/me").await?;
    match answer.status {
        StatusCode::OK => Ok(true),
        StatusCode::UNAUTHORIZED => Ok(false),
        status => Err(format!("{status}: {}", answer.text).into()),
    }
}
