use std::time::Duration;

use session_core::blocking::{CallError, StartError};
use session_postgres::{Postgres, blocking::PiccoloSessions};
use tokio::task::spawn_blocking;

use crate::support::{Table, TestResult, about};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn threads_without_a_runtime_do_the_same() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let url = table.url.clone();
    let thread = std::thread::spawn(move || {
        let sessions = PiccoloSessions::new("UTC", async || Postgres::connect(&url).await).unwrap();
        let token = sessions.create_session(0).unwrap();
        let other = sessions.create_session(8).unwrap();
        assert_eq!(sessions.get_user_id(token.expose(), None).unwrap(), Some(0));
        assert_eq!(
            sessions
                .get_user_id(token.expose(), Some(2 * HOUR))
                .unwrap(),
            Some(0)
        );
        assert!(sessions.remove_session(other.expose()).unwrap());
        assert_eq!(sessions.get_user_id(other.expose(), None).unwrap(), None);
        token.expose().to_owned()
    });
    let token = spawn_blocking(|| thread.join().unwrap()).await?;
    let (left, _) = table.left(&token).await?;
    assert!(about(left, 3.0 * 3_600.0), "{left}");
    Ok(())
}

#[tokio::test]
async fn inside_of_a_runtime_they_are_refused() -> TestResult {
    let Some(table) = Table::new().await? else {
        return Ok(());
    };
    let connect = async || Postgres::connect(&table.url).await;
    let refused = PiccoloSessions::new("UTC", connect);
    assert!(matches!(refused, Err(StartError::InsideRuntime(_))));
    let url = table.url.clone();
    let outside = std::thread::spawn(move || {
        PiccoloSessions::new("UTC", async || Postgres::connect(&url).await).unwrap()
    });
    let sessions = spawn_blocking(|| outside.join().unwrap()).await?;
    let refused = sessions.create_session(7);
    assert!(matches!(refused, Err(CallError::InsideRuntime(_))));
    Ok(())
}
