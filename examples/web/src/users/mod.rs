//! Who may log in: from memory, or from a table in PostgreSQL. Passwords are stored as argon2id hashes.

mod in_memory;
mod in_postgres;
mod password;

use std::sync::Arc;

use latchkey::web::Credentials;
use serde::{Deserialize, Serialize};

use self::{in_memory::InMemory, in_postgres::InPostgres, password::Passwords};
use crate::BoxError;

/// A user as sessions hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) username: String,
    pub(crate) name: String,
}

/// All users, and how to tell that it is them.
#[derive(Clone)]
pub(crate) struct Users {
    table: Table,
    passwords: Arc<Passwords>,
}

#[derive(Clone)]
enum Table {
    Memory(Arc<InMemory>),
    Postgres(InPostgres),
}

/// A user with the hash of the password.
struct Row {
    user: User,
    hash: String,
}

/// Whom a new table begins with: user name, password, name.
const FIRST: [(&str, &str, &str); 2] = [
    ("ada", "lovelace", "Ada Lovelace"),
    ("grace", "hopper", "Grace Hopper"),
];

impl Users {
    pub(crate) async fn in_memory() -> Result<Self, BoxError> {
        let passwords = Passwords::new().await?;
        let rows = first_rows(&passwords).await?;
        Ok(Self {
            table: Table::Memory(Arc::new(InMemory::new(rows))),
            passwords: Arc::new(passwords),
        })
    }

    pub(crate) async fn in_postgres(url: &str) -> Result<Self, BoxError> {
        let passwords = Passwords::new().await?;
        let rows = first_rows(&passwords).await?;
        Ok(Self {
            table: Table::Postgres(InPostgres::open(url, &rows).await?),
            passwords: Arc::new(passwords),
        })
    }
}

async fn first_rows(passwords: &Passwords) -> Result<Vec<Row>, BoxError> {
    let mut rows = Vec::new();
    for (username, password, name) in FIRST {
        rows.push(Row {
            user: User {
                username: username.to_owned(),
                name: name.to_owned(),
            },
            hash: passwords.hash(password).await?,
        });
    }
    Ok(rows)
}

impl Credentials for Users {
    type User = User;
    type Error = UsersError;

    async fn check(&self, username: &str, password: &str) -> Result<Option<User>, UsersError> {
        let row = match &self.table {
            Table::Memory(table) => table.find(username),
            Table::Postgres(table) => table.find(username).await?,
        };
        let (user, hash) = row.map(|row| (row.user, row.hash)).unzip();
        let is_right = self.passwords.verify(password, hash).await?;
        Ok(user.filter(|_| is_right))
    }
}

/// Nobody can be checked now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    #[error("no connection to the table of users")]
    Pool(#[from] deadpool_postgres::PoolError),
    #[error("the table of users cannot be read")]
    Table(#[from] tokio_postgres::Error),
    #[error("a password cannot be hashed")]
    Hash(#[from] argon2::password_hash::Error),
    #[error("a stored hash of a password cannot be read")]
    Stored(#[from] argon2::password_hash::phc::Error),
    #[error("hashing was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_passes() {
        let users = Users::in_memory().await.unwrap();
        let ada = users.check("ada", "lovelace").await.unwrap().unwrap();
        assert_eq!(ada.name, "Ada Lovelace");
        for (username, password) in [
            ("ada", "hopper"),
            ("grace", "lovelace"),
            ("eve", "lovelace"),
        ] {
            assert_eq!(users.check(username, password).await.unwrap(), None);
        }
    }
}
