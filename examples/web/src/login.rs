use latchkey::web::{Credentials, LoginHandler, LoginLimits};

use crate::device;

/// The login of the library, for pages and the API: with a name for the device, and limits that all replicas share.
pub(crate) fn handler<C: Credentials>(users: C, limits: &LoginLimits) -> LoginHandler<C> {
    LoginHandler::new(users)
        .label(device::LABEL, |request| {
            Some(device::label(&request.headers))
        })
        .limits(limits.clone())
}
