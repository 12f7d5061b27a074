use std::time::Duration;

use session_core::Timeouts;
use tokio::task::JoinSet;

use crate::support::{Table, TestResult, about};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_new_session_is_its_users_for_an_hour_and_for_seven_days_at_the_most() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    for user in [7, 0, i32::MAX, -1] {
        let token = sessions.create_session(user).await?;
        assert_eq!(token.expose().len(), 43);
        assert_eq!(
            sessions.get_user_id(token.expose(), None).await?,
            Some(user)
        );
        let (left, limit) = table.left(token.expose()).await?;
        assert!(
            about(left, 3_600.0) && about(limit, 7.0 * 86_400.0),
            "{left} {limit}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn other_timeouts_are_those_of_new_sessions() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    let sessions = sessions.timeouts(Timeouts::new(2 * HOUR, 3 * HOUR)?);
    let token = sessions.create_session(7).await?;
    let (left, limit) = table.left(token.expose()).await?;
    assert!(
        about(left, 7_200.0) && about(limit, 10_800.0),
        "{left} {limit}"
    );
    Ok(())
}

#[tokio::test]
async fn no_two_sessions_have_one_token() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    let (one, other) = (
        sessions.create_session(1).await?,
        sessions.create_session(2).await?,
    );
    assert_ne!(one.expose(), other.expose());
    assert_eq!(sessions.get_user_id(one.expose(), None).await?, Some(1));
    assert_eq!(sessions.get_user_id(other.expose(), None).await?, Some(2));
    Ok(())
}

#[tokio::test]
async fn what_is_unknown_expired_or_past_its_limit_is_nobodys_and_nothing_changes() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    table.insert("expired", -1.0, 3_600.0).await?;
    table.insert("past its limit", 600.0, -1.0).await?;
    for token in ["expired", "past its limit"] {
        let before = table.row(token).await?;
        for increase in [None, Some(HOUR), Some(Duration::MAX)] {
            assert_eq!(
                sessions.get_user_id(token, increase).await?,
                None,
                "{token}"
            );
        }
        assert_eq!(table.row(token).await?, before);
    }
    let long = "x".repeat(101);
    for token in ["", "unknown", "' OR true --", "a\0b", &long] {
        for increase in [None, Some(HOUR)] {
            assert_eq!(
                sessions.get_user_id(token, increase).await?,
                None,
                "{token}"
            );
        }
        assert!(!sessions.remove_session(token).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_gets_more_time_when_it_is_close_to_its_end_and_never_beyond_its_limit()
-> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    // Left, limit, increase: left then.
    for (n, (left, limit, increase, then)) in [
        (3_600.0, 90_000.0, HOUR - 10 * MINUTE, 3_600.0),
        (3_600.0, 90_000.0, HOUR + 10 * MINUTE, 7_800.0),
        (600.0, 90_000.0, HOUR, 4_200.0),
        (600.0, 2_000.0, HOUR, 2_000.0),
        (600.0, 600.0, HOUR, 600.0),
        (600.0, 90_000.0, Duration::MAX, 90_000.0),
        (600.0, 90_000.0, Duration::ZERO, 600.0),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("session {n}");
        table.insert(&token, left, limit).await?;
        let before = table.row(&token).await?;
        assert_eq!(sessions.get_user_id(&token, None).await?, Some(7));
        assert_eq!(table.row(&token).await?, before, "it was only read");
        assert_eq!(sessions.get_user_id(&token, Some(increase)).await?, Some(7));
        let found = table.left(&token).await?;
        assert!(
            about(found.0, then) && about(found.1, limit),
            "{n}: {found:?}"
        );
        assert_eq!(table.row(&token).await? == before, left == then, "{n}");
    }
    Ok(())
}

#[tokio::test]
async fn many_requests_at_once_give_more_time_once() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    for round in 0..5 {
        let token = format!("session {round}");
        table.insert(&token, 600.0, 90_000.0).await?;
        // They all have the row in view before any of them has changed it.
        let holder = crate::support::connect(&table.url).await?;
        holder.batch_execute("BEGIN").await?;
        holder
            .execute(
                "SELECT 1 FROM sessions WHERE token = $1 FOR UPDATE",
                &[&token],
            )
            .await?;
        let mut requests = JoinSet::new();
        for _ in 0..12 {
            let (sessions, token) = (sessions.clone(), token.clone());
            requests.spawn(async move { sessions.get_user_id(&token, Some(HOUR)).await });
        }
        let waiting = "SELECT count(*) FROM pg_stat_activity \
            WHERE wait_event_type = 'Lock' AND query LIKE '%piccolo_extend_session%'";
        while table.client.query_one(waiting, &[]).await?.get::<_, i64>(0) < 12 {
            tokio::task::yield_now().await;
        }
        holder.batch_execute("COMMIT").await?;
        for user in requests.join_all().await {
            assert_eq!(user?, Some(7));
        }
        let (left, _) = table.left(&token).await?;
        assert!(about(left, 4_200.0), "{left}");
    }
    Ok(())
}

#[tokio::test]
async fn a_removed_session_is_nobodys() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    let (token, other) = (
        sessions.create_session(7).await?,
        sessions.create_session(7).await?,
    );
    assert!(sessions.remove_session(token.expose()).await?);
    assert!(!sessions.remove_session(token.expose()).await?);
    assert_eq!(
        sessions.get_user_id(token.expose(), Some(HOUR)).await?,
        None
    );
    assert_eq!(sessions.get_user_id(other.expose(), None).await?, Some(7));
    Ok(())
}

#[tokio::test]
async fn timestamps_are_read_and_written_in_the_zone_that_was_given() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    // Whatever zone the connections have.
    let tokyo = table.sessions("Asia/Tokyo").await?;
    let token = tokyo.create_session(7).await?;
    let (left, _) = table.left(token.expose()).await?;
    assert!(
        about(left, 10.0 * 3_600.0),
        "nine hours and one more: {left}"
    );
    assert_eq!(tokyo.get_user_id(token.expose(), None).await?, Some(7));

    let utc = table.sessions("UTC").await?;
    let token = utc.create_session(7).await?;
    for increase in [None, Some(2 * HOUR)] {
        let user = utc.get_user_id(token.expose(), increase).await?;
        assert_eq!(user, Some(7));
        let user = tokyo.get_user_id(token.expose(), increase).await?;
        assert_eq!(user, None, "{increase:?}");
    }
    Ok(())
}

#[tokio::test]
async fn debug_shows_no_token() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let sessions = table.sessions("UTC").await?;
    let token = sessions.create_session(7).await?;
    let shown = format!("{token:?} {sessions:?}");
    assert!(!shown.contains(token.expose()), "{shown}");
    Ok(())
}
