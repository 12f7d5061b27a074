#![expect(
    clippy::needless_pass_by_value,
    reason = "a requirement is given the user"
)]

use std::future::{Ready, ready};

/// What a user may do, for [`LoginRequired::require`](crate::LoginRequired::require). Nothing, unless said otherwise.
///
/// A user is as the login has stored it: one whose rights are taken away keeps them until the next login, so end the
/// sessions of that user ([`UserSessions::revoke_all`](session_core::UserSessions::revoke_all)).
pub trait Roles {
    /// Whether the account is in use.
    fn is_active(&self) -> bool {
        false
    }

    /// Whether the user administers the service.
    fn is_admin(&self) -> bool {
        false
    }

    /// Whether the user may do everything.
    fn is_superuser(&self) -> bool {
        false
    }
}

/// Users whose account is in use: `.require(active::<User>)`.
pub fn active<U: Roles>(user: U) -> Ready<bool> {
    ready(user.is_active())
}

/// Active users who administer the service.
pub fn admin<U: Roles>(user: U) -> Ready<bool> {
    ready(user.is_active() && user.is_admin())
}

/// Active users who may do everything.
pub fn superuser<U: Roles>(user: U) -> Ready<bool> {
    ready(user.is_active() && user.is_superuser())
}
