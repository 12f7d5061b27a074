//! The pages of the example `web`, in a real browser.

use std::path::PathBuf;

use latchkey_tests::{Browser, Replica, Screen, Shop, TestResult};

fn at(replica: &Replica, path: &str) -> String {
    format!("http://{}{path}", replica.addr())
}

/// For people who want to see the pages.
async fn keep(browser: &Browser, name: &str) -> TestResult {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    browser
        .screenshot(&folder.join(format!("{name}.png")))
        .await
}

async fn log_in(browser: &Browser, replica: &Replica) -> TestResult {
    browser.go(&at(replica, "/login")).await?;
    browser.fill("#username", "ada").await?;
    browser.fill("#password", "lovelace").await?;
    browser.click("main form button").await?;
    browser.sees("#user", &["Ada Lovelace"]).await
}

/// Each window talks to another replica. (Browsers send a host's cookies to all of its ports.)
#[tokio::test]
async fn two_windows_fill_one_cart_and_a_login_keeps_it() -> TestResult {
    if Browser::is_skipped()? {
        return Ok(());
    }
    let shop = Shop::open(2).await?;
    let [first, second] = &shop.replicas[..] else {
        unreachable!()
    };
    let browser = Browser::open(Screen::Desktop).await?;
    browser.go(&at(first, "/")).await?;
    browser.click("button[value=tea]").await?;
    browser.sees("#cart td", &["1"]).await?;
    let (one, other) = browser.new_window().await?;
    browser.go(&at(second, "/")).await?;
    browser.sees("#cart td", &["1"]).await?;
    for round in 1..=3 {
        let (tea, coffee) = ((1 + round).to_string(), round.to_string());
        browser.use_window(&other).await?;
        browser.click("button[value=coffee]").await?;
        browser.sees("[data-item=coffee]", &[&coffee]).await?;
        browser.use_window(&one).await?;
        browser.click("button[value=tea]").await?;
        browser.sees("[data-item=tea]", &[&tea]).await?;
    }
    browser
        .sees("#cart tbody tr", &["Coffee 3", "Tea 4"])
        .await?;
    keep(&browser, "shop").await?;
    browser.go(&at(first, "/login")).await?;
    browser.fill("#username", "ada").await?;
    browser.fill("#password", "wrong").await?;
    browser.click("main form button").await?;
    browser
        .sees("[role=alert]", &["User name or password is wrong."])
        .await?;
    keep(&browser, "login").await?;
    log_in(&browser, first).await?;
    browser
        .sees("#cart tbody tr", &["Coffee 3", "Tea 4"])
        .await?;
    browser.use_window(&other).await?;
    browser.go(&at(second, "/")).await?;
    browser.sees("#user", &["Ada Lovelace"]).await
}

#[tokio::test]
async fn another_device_is_seen_and_ended() -> TestResult {
    if Browser::is_skipped()? {
        return Ok(());
    }
    let shop = Shop::open(2).await?;
    let here = Browser::open(Screen::Phone).await?;
    let there = Browser::open(Screen::Desktop).await?;
    log_in(&there, &shop.replicas[0]).await?;
    log_in(&here, &shop.replicas[1]).await?;
    here.click("a[href='/devices']").await?;
    here.sees(".device strong", &["Chrome on Linux", "Chrome on Linux"])
        .await?;
    here.sees(".device button", &["Log out", "End"]).await?;
    keep(&here, "devices-phone").await?;
    here.click(".device:not(:has(.mark)) button").await?;
    here.sees(".device button", &["Log out"]).await?;
    // With its next request.
    there.click("a[href='/devices']").await?;
    there.sees("h1", &["Log in"]).await?;
    here.go(&at(&shop.replicas[0], "/")).await?;
    here.sees("#user", &["Ada Lovelace"]).await
}

#[tokio::test]
async fn the_race_lab_shows_what_is_lost_without_the_lock() -> TestResult {
    if Browser::is_skipped()? {
        return Ok(());
    }
    let replica = Replica::start(&[]).await?;
    let browser = Browser::open(Screen::Phone).await?;
    browser.go(&at(&replica, "/lab")).await?;
    browser.fill("#requests", "40").await?;
    browser.fill("#hold_ms", "10").await?;
    browser.click("input[value=locked]").await?;
    browser.click("main form button").await?;
    browser
        .sees("#locked .verdict", &["Nothing was lost."])
        .await?;
    browser
        .sees("#locked [data-number=stored]", &["40"])
        .await?;
    browser.sees("#unlocked", &[]).await?;
    browser.click("input[value=unlocked]").await?;
    browser.click("main form button").await?;
    browser
        .sees("#unlocked [data-number=expected]", &["40"])
        .await?;
    let lost = browser.texts("#unlocked [data-number=lost]").await?;
    assert!(lost[0].parse::<u32>()? > 0, "{lost:?}");
    browser.sees("#locked", &[]).await?;
    browser.click("input[value=both]").await?;
    browser.click("main form button").await?;
    browser
        .sees("#results h2", &["With the lock", "Without the lock"])
        .await?;
    keep(&browser, "lab-phone").await
}

#[tokio::test]
async fn going_back_after_the_logout_shows_nothing_of_the_user() -> TestResult {
    if Browser::is_skipped()? {
        return Ok(());
    }
    let replica = Replica::start(&[]).await?;
    let browser = Browser::open(Screen::Desktop).await?;
    log_in(&browser, &replica).await?;
    browser.click("button[value=tea]").await?;
    browser.sees("#cart td", &["1"]).await?;
    browser.click("a[href='/devices']").await?;
    browser.sees(".device button", &["Log out"]).await?;
    browser.click("#logout").await?;
    browser.sees("#login", &["Log in"]).await?;
    browser.sees("#cart", &["Nothing in it yet."]).await?;
    // To the devices, which ask for a login now; then to the shop.
    browser.back().await?;
    browser.sees("h1", &["Log in"]).await?;
    browser.sees("#user, .device", &[]).await?;
    browser.back().await?;
    browser.sees("#cart", &["Nothing in it yet."]).await?;
    browser.sees("#user", &[]).await
}

#[tokio::test]
async fn pages_fit_a_phone_and_are_used_with_the_keyboard() -> TestResult {
    if Browser::is_skipped()? {
        return Ok(());
    }
    let replica = Replica::start(&[]).await?;
    let browser = Browser::open(Screen::Phone).await?;
    for path in ["/", "/lab", "/login", "/nowhere"] {
        browser.go(&at(&replica, path)).await?;
        assert_eq!(browser.overflow().await?, 0, "{path} is too wide");
    }
    log_in(&browser, &replica).await?;
    for path in ["/", "/devices"] {
        browser.go(&at(&replica, path)).await?;
        assert_eq!(browser.overflow().await?, 0, "{path} is too wide");
    }
    browser.go(&at(&replica, "/")).await?;
    keep(&browser, "shop-phone").await?;
    assert_eq!(browser.after_tabs(1).await?, "Skip to the content");
    Ok(())
}
