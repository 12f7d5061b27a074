//! What is printed of users, logins and new IDs.

use session_core::{Login, MemoryStore, SessionId, Sessions, UserId};

const USER: &str = "ada@example.org";
const SECRETS: [&str; 4] = [USER, "Ada Lovelace", "argon2id$hash", "Firefox on Linux"];

fn login() -> Login {
    let login = Login::new(USER).unwrap();
    let login = login.label("browser", SECRETS[3]).unwrap();
    login.credential(SECRETS[2].as_bytes())
}

/// Printed in both ways that there are.
macro_rules! printed {
    ($($value:expr),+ $(,)?) => {
        [$(format!("{:?} {:#?}", $value, $value)),+].concat()
    };
}

fn hides(printed: &str, ids: &[&SessionId]) {
    let ids: Vec<_> = ids.iter().map(|id| id.expose()).collect();
    for secret in SECRETS.iter().chain(&ids) {
        assert!(!printed.contains(secret), "printed a secret");
    }
}

#[test]
fn debug_output_hides_who_logs_in() {
    let user = UserId::try_from(USER).unwrap();
    hides(&printed![login(), user, user.key()], &[]);
}

#[tokio::test]
async fn debug_output_hides_new_ids_and_users_on_their_way() {
    let sessions = Sessions::new(MemoryStore::new());
    let mut session = sessions.create();
    let first = session.login_with(login(), &SECRETS[1]).unwrap();
    let mut shown = printed![session];
    let report = session.commit().await.unwrap();
    shown += &printed![report, sessions.user(USER).unwrap()];

    let mut session = sessions.lock(&first).await.unwrap();
    let second = session.regenerate();
    shown += &printed![session];
    let report = session.commit().await.unwrap();
    assert_eq!(report.id.as_ref(), Some(&second));
    shown += &printed![report];
    for id in [&first, &second] {
        let snapshot = sessions.snapshot(id).await.unwrap().unwrap();
        assert_eq!(snapshot.user_id().unwrap().as_str(), USER);
        shown += &printed![snapshot];
    }
    hides(&shown, &[&first, &second]);
}

#[tokio::test]
async fn refused_logins_tell_nothing_of_the_user() {
    let sessions = Sessions::new(MemoryStore::new());
    let ticket = sessions.begin_login(USER).await.unwrap();
    sessions.user(USER).unwrap().disable().await.unwrap();
    let disabled = sessions.begin_login(USER).await.unwrap_err();
    let mut session = sessions.create();
    let late = login().ticket(ticket);
    let id = session.login_with(late, &SECRETS[1]).unwrap();
    let refused = session.commit().await.unwrap_err();
    let mut session = sessions.create();
    let large = vec![SECRETS[1]; 200_000];
    let too_large = session.login(USER, &large).unwrap_err();
    let shown = printed![disabled, refused, too_large];
    hides(&format!("{shown} {disabled} {refused} {too_large}"), &[&id]);
}
