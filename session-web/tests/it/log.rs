use std::{cell::RefCell, io, sync::Once};

use axum::response::IntoResponse;
use session_core::{Fault, ReadError, StoreError};
use session_web::{CookiePolicy, SessionError, SessionLayer};

use crate::support::*;

/// What is logged while `work` is done in this thread.
///
/// One subscriber for all threads: while several come and go, `tracing` can take an event for one that nobody wants.
pub(crate) fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    HERE.set(Some(Vec::new()));
    let done = work();
    let text = String::from_utf8(HERE.take().unwrap());
    (done, text.unwrap())
}

thread_local! {
    /// The log of this thread, if it is looked at.
    static HERE: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HERE.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_details_of_an_error_are_in_the_log_and_each_cause_once() {
    let fault = Fault::TimedOut(std::time::Duration::from_secs(1));
    let cause = io::Error::other("the line is cut");
    let down = StoreError::new("load a session", "redis.internal:6379", fault).with_source(cause);
    let error = SessionError::from(ReadError::from(down));
    let (answer, log) = logged(|| error.into_response());
    assert_eq!(answer.status(), 503);
    assert!(log.contains("WARN"));
    assert!(log.contains("status=503"));
    for detail in [
        "could not read the session",
        "could not load a session on redis.internal:6379",
        "the line is cut",
    ] {
        assert_eq!(log.matches(detail).count(), 1, "{detail}: {log}");
    }
}

#[test]
fn a_cause_that_its_error_has_told_is_not_told_again() {
    let mut session = in_memory().create();
    session.insert("n", "text").unwrap();
    let error = session.get::<u32>("n").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let (_answer, log) = logged(|| SessionError::from(error).into_response());
    assert_eq!(log.matches(&cause).count(), 1, "{log}");
}

#[test]
fn mistakes_of_the_service_are_logged_as_errors() {
    let (_answer, log) = logged(|| SessionError::StillLocked.into_response());
    assert!(log.contains("ERROR"));
    assert!(log.contains("still locked"));
}

#[test]
fn development_says_so() {
    let usual = || SessionLayer::new(in_memory()).cookie(CookiePolicy::default());
    assert_eq!(logged(usual).1, "");
    let policy = CookiePolicy::default().development();
    let development = || SessionLayer::new(in_memory()).cookie(policy);
    let (_layer, log) = logged(development);
    assert!(log.contains("WARN"));
    assert!(log.contains("without Secure"));
}

#[test]
fn ids_and_contents_are_never_logged() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let requests = async {
        let sessions = in_memory();
        let (one, other) = (stored(&sessions).await, stored(&sessions).await);
        let app = app(SessionLayer::new(sessions.clone()));
        let two = format!("{}; {}", cookie_of(&one), cookie_of(&other));
        get_it(&app, "/read", &two).await;
        let limit = std::time::Duration::from_secs(5);
        sessions.shutdown(limit).await.unwrap();
        post_it(&app, "/add", &cookie_of(&one)).await;
        [one, other]
    };
    let (ids, log) = logged(|| runtime.block_on(requests));
    assert!(log.contains("two different sessions"));
    assert!(log.contains("shut down"));
    for id in ids {
        assert!(!log.contains(id.expose()));
    }
}
