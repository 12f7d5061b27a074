use std::collections::HashMap;

use super::{Row, User};

/// The users of one process.
pub(super) struct InMemory(HashMap<String, Row>);

impl InMemory {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        let rows = rows.into_iter();
        Self(rows.map(|row| (row.user.username.clone(), row)).collect())
    }

    pub(super) fn find(&self, username: &str) -> Option<Row> {
        let Row { user, hash } = self.0.get(username)?;
        let user = User::clone(user);
        let hash = hash.clone();
        Some(Row { user, hash })
    }
}
