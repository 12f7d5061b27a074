use axum::http::HeaderMap;
use latchkey::{
    Login, LoginError, UserId,
    web::{Credentials as _, Session, SessionError, Stay},
};

use crate::{
    cause::with_causes,
    device,
    users::{User, Users, UsersError},
};

/// Why nobody was logged in.
pub(crate) enum Refused {
    /// User name or password is missing.
    Missing,
    /// Unknown user or wrong password: which of them is nobody's business.
    Wrong,
    /// Nobody can be checked now.
    Later,
    Session(SessionError),
}

/// Checks the user and logs the session of this request in, under a new ID.
pub(crate) async fn log_in(
    session: &Session,
    users: &Users,
    (username, password): (&str, &str),
    headers: &HeaderMap,
) -> Result<User, Refused> {
    if username.is_empty() || password.is_empty() {
        return Err(Refused::Missing);
    }
    let id = UserId::try_from(username).map_err(|_unknown| Refused::Wrong)?;
    // Before the password is looked at: if it is changed meanwhile, this login comes too late.
    let ticket = session.sessions().begin_login(&id).await;
    let user = users.check(username, password).await?;
    let ticket = match ticket {
        Err(LoginError::Disabled) => return Err(Refused::Wrong),
        ticket => ticket?,
    };
    let user = user.ok_or(Refused::Wrong)?;
    let login = Login::new(id)?.ticket(ticket);
    let login = login.label(LABEL, &device::label(headers));
    let login = login.expect("a label of 40 characters has room");
    session.login(login, &user, Stay::WithBrowser).await?;
    Ok(user)
}

/// The label under which lists of devices find the name of one.
pub(crate) const LABEL: &str = "device";

impl From<UsersError> for Refused {
    fn from(error: UsersError) -> Self {
        tracing::error!(error = with_causes(&error), "users cannot be checked");
        Self::Later
    }
}

impl<E: Into<SessionError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Session(error.into())
    }
}
