use std::{str::FromStr as _, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, Runtime, Transaction};
use tokio_postgres::{Config, NoTls};

use super::{Row, User, UsersError};
use crate::BoxError;

/// The users of all replicas.
#[derive(Clone)]
pub(super) struct InPostgres(Pool);

/// In order. What stands here was run somewhere, and is not changed any more.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_users.up.sql")];

impl InPostgres {
    /// Connects, and makes the table if it is not there, with the first users in it.
    pub(super) async fn open(url: &str, first: &[Row]) -> Result<Self, BoxError> {
        let mut config = Config::from_str(url)?;
        config.connect_timeout(TIMEOUT);
        let manager = Manager::from_config(config, NoTls, ManagerConfig::default());
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(TIMEOUT))
            .create_timeout(Some(TIMEOUT))
            .recycle_timeout(Some(TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()?;
        let mut connection = pool.get().await?;
        let transaction = connection.transaction().await?;
        migrate(&transaction, first).await?;
        transaction.commit().await?;
        drop(connection);
        Ok(Self(pool))
    }

    pub(super) async fn find(&self, username: &str) -> Result<Option<Row>, UsersError> {
        // PostgreSQL has no text with a zero byte in it.
        if username.contains('\0') {
            return Ok(None);
        }
        let connection = self.0.get().await?;
        let select = connection
            .prepare_cached(include_str!("sql/find.sql"))
            .await?;
        let row = connection.query_opt(&select, &[&username]).await?;
        Ok(row.map(|row| Row {
            user: User {
                username: row.get("username"),
                name: row.get("name"),
            },
            hash: row.get("password_hash"),
        }))
    }
}

const CONNECTIONS: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs what was not run yet. Replicas that start together take turns.
async fn migrate(
    transaction: &Transaction<'_>,
    first: &[Row],
) -> Result<(), tokio_postgres::Error> {
    transaction
        .batch_execute(include_str!("sql/begin_migrations.sql"))
        .await?;
    let row = transaction
        .query_one(include_str!("sql/newest_migration.sql"), &[])
        .await?;
    let newest: i32 = row.get("newest");
    for (number, migration) in (1_i32..).zip(MIGRATIONS) {
        if number > newest {
            transaction.batch_execute(migration).await?;
            let note = include_str!("sql/note_migration.sql");
            transaction.execute(note, &[&number]).await?;
        }
    }
    for Row { user, hash } in first {
        let insert = include_str!("sql/add.sql");
        transaction
            .execute(insert, &[&user.username, &user.name, hash])
            .await?;
    }
    Ok(())
}
