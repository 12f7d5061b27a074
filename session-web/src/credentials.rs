use std::{error::Error as StdError, future::Future};

use axum_core::response::Response;
use serde::Serialize;
use session_core::UserId;

/// How the users of a service are checked, for [`LoginHandler`](crate::LoginHandler).
///
/// ```
/// # use std::convert::Infallible;
/// # use session_web::Credentials;
/// #[derive(Clone)]
/// struct Users; // a pool of connections to the table of users
///
/// impl Credentials for Users {
///     type User = String;
///     type Error = Infallible;
///
///     async fn check(&self, username: &str, password: &str) -> Result<Option<String>, Infallible> {
///         // Verify a slow hash (argon2id), also for unknown users, or the time tells who is known.
///         let is_right = username == "ada" && password == "lovelace";
///         Ok(is_right.then(|| "ada".to_owned()))
///     }
/// }
/// ```
pub trait Credentials: Clone + Send + Sync + 'static {
    /// What handlers find as [`CurrentUser`](crate::CurrentUser).
    type User: Serialize + Send + Sync;
    /// Why nobody can be checked now: answered with 503.
    type Error: StdError + Send + Sync + 'static;

    /// The user with that name and password; `None` for unknown users and wrong passwords alike.
    fn check(
        &self,
        username: &str,
        password: &str,
    ) -> impl Future<Output = Result<Option<Self::User>, Self::Error>> + Send;

    /// What the sessions of that user are known by. Asked before the password is checked, so that a login which a change of
    /// the password overtakes is refused. `None`: there is no such user. Default: the name itself.
    fn user_id(
        &self,
        username: &str,
    ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send {
        let user = UserId::try_from(username).ok();
        async { Ok(user) }
    }

    /// Under which name failed logins are counted: one for all spellings that [`check`](Self::check) takes for one user.
    /// Made of the name alone: a limit that depends on who is known tells who is known. Default: in lower case, without
    /// white space around it.
    fn account(&self, username: &str) -> String {
        username.trim().to_lowercase()
    }

    /// Before anything is checked. An answer takes the place of all that follows. Default: none.
    fn pre_login(&self, username: &str) -> impl Future<Output = Option<Response>> + Send {
        let _ = username;
        async { None }
    }

    /// After the login is stored. An answer takes the place of the usual one. Default: none.
    fn login_success(&self, user: &Self::User) -> impl Future<Output = Option<Response>> + Send {
        let _ = user;
        async { None }
    }

    /// After a refusal. An answer takes the place of the usual one. Default: none.
    fn login_failure(&self, username: &str) -> impl Future<Output = Option<Response>> + Send {
        let _ = username;
        async { None }
    }
}
