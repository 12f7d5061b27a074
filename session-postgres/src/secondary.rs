use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{
    Applied, Change, Codec, Fault, Row, SecondaryStore, SessionData, SessionHandle, StoreError,
    StoreTime, UserId,
};
use tokio_postgres::types::ToSql;

use crate::{
    Postgres,
    migrations::{self, SchemaError},
    number::{ms, signed, unsigned},
};

/// Sessions in PostgreSQL as a secondary interface: one row for each, by its handle, for reports and other services.
///
/// ```no_run
/// # use session_postgres::{Postgres, PostgresSecondary};
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// let postgres = Postgres::connect("postgresql://app@db.example/reports").await?;
/// let analytics = PostgresSecondary::new(&postgres, "analytics").await?.with_json_values();
/// # Ok(()) }
/// ```
///
/// ```sql
/// SELECT user_id, values->>'theme' FROM latchkey_secondary
/// WHERE name = 'analytics' AND NOT ended AND least(idle_end, absolute_end) > now();
/// ```
///
/// A change is applied in one statement that compares its version, so of several deliverers the newest one stands. What
/// has ended leaves a row without contents for 24 hours; what runs out keeps its contents until 24 hours after its
/// absolute end, hidden from [`load`](SecondaryStore::load). [`clean_up`](Self::clean_up) removes both. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PostgresSecondary {
    postgres: Postgres,
    name: Arc<str>,
    place: Option<Arc<str>>,
    json_values: bool,
}

const KEPT: Duration = Duration::from_secs(24 * 3_600);
const APPLY: &str = "apply a change";

impl PostgresSecondary {
    /// On that database. `name` tells several secondaries in one database apart: 1 to 100 characters.
    ///
    /// # Errors
    /// [`SchemaError`] when the database does not answer, is too old, or does not have the tables of this release.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn new(postgres: &Postgres, name: &str) -> Result<Self, SchemaError> {
        migrations::check(postgres).await?;
        let secondary = Self::unchecked(postgres, name)?;
        let sql = include_str!("../sql/secondary_place.sql");
        let rows = postgres.query("ask for the schema", sql, &[]).await?;
        let schema: String = rows.first().map_or_else(String::new, |row| row.get(0));
        let place = Some(place(postgres, &schema, name));
        Ok(Self { place, ..secondary })
    }

    /// The same without asking the database, which may be down: with [`Postgres::unchecked`], a service starts without it,
    /// and it gets everything when it is there. Its version and its tables are not checked: what is wrong with them is the
    /// error of each delivery.
    ///
    /// # Errors
    /// [`StoreError`] when the name is none.
    pub fn unchecked(postgres: &Postgres, name: &str) -> Result<Self, StoreError> {
        if !(1..=100).contains(&name.chars().count()) || name.contains('\0') {
            let what = "the name of a secondary has 1 to 100 characters".to_owned();
            let fault = Fault::Unsuitable(what);
            return Err(postgres.error("open a secondary", fault));
        }
        let database = postgres.dial().map(|dial| dial.database());
        Ok(Self {
            postgres: postgres.clone(),
            name: name.into(),
            place: database.map(|database| place(postgres, &database, name)),
            json_values: false,
        })
    }

    /// Keeps the values as `jsonb`, one key for each, for those who query them. Records that are sealed are refused, for
    /// there is nothing in them to query.
    #[must_use]
    pub fn with_json_values(self) -> Self {
        Self {
            json_values: true,
            ..self
        }
    }

    /// Removes what ended more than 24 hours ago, of all secondaries in this database; how many rows.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    ///
    /// # Cancel safety
    /// Cancelled, some rows are removed.
    pub async fn clean_up(&self) -> Result<u64, StoreError> {
        let sql = include_str!("../sql/secondary_sweep.sql");
        self.postgres.remove("forget ended sessions", sql).await
    }

    /// The body as it is stored: as bytes, or as `jsonb`.
    fn stored(&self, row: &Row) -> Result<(Bytes, Option<String>), StoreError> {
        if !self.json_values {
            return Ok((row.body.clone(), None));
        }
        let unsuitable = |what: &str| {
            self.postgres
                .error(APPLY, Fault::Unsuitable(what.to_owned()))
        };
        if row.is_sealed {
            return Err(unsuitable("a sealed record has no values to be queried"));
        }
        let json = match row.codec {
            Codec::Json => row.body.clone(),
            codec => {
                let data = SessionData::from_encoded(codec, &row.body);
                let data = data.map_err(|_bad| unsuitable("the record cannot be read"))?;
                let json = data.to_encoded(Codec::Json);
                json.ok_or_else(|| unsuitable("a value of the session is no JSON"))?
            }
        };
        let text = String::from_utf8(json.to_vec());
        let text = text.map_err(|_bad| unsuitable("the record is no JSON"))?;
        Ok((Bytes::new(), Some(text)))
    }
}

fn place(postgres: &Postgres, database: &str, name: &str) -> Arc<str> {
    let node = postgres.node();
    format!("postgresql://{node}/{database}/latchkey_secondary/{name}").into()
}

#[async_trait]
impl SecondaryStore for PostgresSecondary {
    async fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        let row = change.row.as_ref();
        let time = |of: fn(&Row) -> StoreTime| row.map(|row| signed(of(row).as_millis()));
        let (body, values) = row.map_or(Ok((Bytes::new(), None)), |row| self.stored(row))?;
        let is_json = values.is_some() || row.is_some_and(|row| row.codec == Codec::Json);
        let params: [&(dyn ToSql + Sync); 13] = [
            &&*self.name,
            &&change.session.as_bytes()[..],
            &signed(change.version.number()),
            &row.is_none(),
            &time(|row| row.created),
            &time(|row| row.absolute_end),
            &time(|row| row.idle_end),
            &row.and_then(|row| row.user.as_ref()).map(UserId::as_str),
            &is_json,
            &row.is_some_and(|row| row.is_sealed),
            &&body[..],
            &values,
            &ms(KEPT),
        ];
        let sql = include_str!("../sql/secondary_apply.sql");
        let rows = self.postgres.query(APPLY, sql, &params).await?;
        Ok(if rows.is_empty() {
            Applied::Known
        } else {
            Applied::Changed
        })
    }

    async fn seen(&self, session: SessionHandle, idle_end: StoreTime) -> Result<(), StoreError> {
        let sql = include_str!("../sql/secondary_seen.sql");
        let idle_end = signed(idle_end.as_millis());
        let params: [&(dyn ToSql + Sync); 3] = [&&*self.name, &&session.as_bytes()[..], &idle_end];
        self.postgres
            .query("note a use of a session", sql, &params)
            .await?;
        Ok(())
    }

    async fn load(&self, session: SessionHandle) -> Result<Option<Row>, StoreError> {
        let sql = include_str!("../sql/secondary_load.sql");
        let params: [&(dyn ToSql + Sync); 2] = [&&*self.name, &&session.as_bytes()[..]];
        let rows = self.postgres.query("load a session", sql, &params).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let time = |column: usize| StoreTime::from_millis(unsigned(row.get(column)));
        let user: Option<&str> = row.get(3);
        let (body, values): (&[u8], Option<String>) = (row.get(6), row.get(7));
        Ok(Some(Row {
            created: time(0),
            absolute_end: time(1),
            idle_end: time(2),
            // The schema takes no other text.
            user: user.and_then(|user| UserId::try_from(user).ok()),
            codec: if row.get(4) {
                Codec::Json
            } else {
                Codec::MessagePack
            },
            is_sealed: row.get(5),
            body: values.map_or_else(|| Bytes::copy_from_slice(body), Bytes::from),
        }))
    }

    fn place(&self) -> Option<String> {
        self.place.as_deref().map(str::to_owned)
    }
}
