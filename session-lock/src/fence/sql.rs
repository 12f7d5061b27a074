//! SQL stands in `sql/`; here the names of tables and columns are put into it.

use super::Accept;

/// Statements for PostgreSQL that change a row only if the fencing token is accepted, for whatever client you have.
///
/// Their parameters are `$1` the key, `$2` the token as `bigint`, `$3` and following the columns, as named. **If no row was
/// changed, the token is stale**: check the number of rows that the statement affected.
///
/// The table needs a column for the token; one that is null counts as zero:
///
/// ```sql
/// ALTER TABLE invoices ADD COLUMN fencing_token bigint NOT NULL DEFAULT 0;
/// ```
///
/// ```
/// use session_lock::fence::SqlFence;
///
/// let invoices = SqlFence::new("invoices", "id");
/// assert_eq!(
///     invoices.update(&["state"]),
///     r#"UPDATE "invoices" SET "fencing_token" = $2, "state" = $3 WHERE "id" = $1 AND COALESCE("invoices"."fencing_token", 0) < $2"#
/// );
/// ```
///
/// With tokio-postgres:
///
/// ```text
/// let token = i64::try_from(lease.fencing_token().0)?;
/// let rows = client.execute(&invoices.update(&["state"]), &[&17_i32, &token, &"paid"]).await?;
/// if rows == 0 { return Err("somebody with a larger token was here, or there is no invoice 17".into()); }
/// ```
///
/// # More than one row
/// What has no row of its own, or changes several rows, keeps its tokens in a table of their own
/// ([`TOKENS_TABLE`](Self::TOKENS_TABLE)). Begin a transaction with [`accept`](Self::accept) and go on only if it has
/// changed a row: others wait for the end of the transaction, and then find your token. A row of that table is never
/// deleted; who deletes one lets a late holder in.
///
/// # Isolation
/// Right at every isolation level. At `REPEATABLE READ` and above, a writer that comes at the same moment as another gets
/// a serialization failure (40001) in place of an answer: repeat the transaction.
#[derive(Clone, Debug)]
pub struct SqlFence {
    table: String,
    key: String,
    token: String,
    accept: Accept,
}

impl SqlFence {
    /// Makes the table `fencing_tokens` with the columns `resource` (`bytea`, the key) and `fencing_token`, if it is not
    /// there.
    pub const TOKENS_TABLE: &str = include_str!("../../sql/fencing_tokens.sql");

    /// The rows of `table`, told apart by the column `key`, which is unique.
    ///
    /// Names are put into quotes: upper and lower case differ, and no name can be anything else than a name.
    pub fn new(table: &str, key: &str) -> Self {
        Self {
            table: quoted(table),
            key: quoted(key),
            token: quoted("fencing_token"),
            accept: Accept::Larger,
        }
    }

    /// The table of [`TOKENS_TABLE`](Self::TOKENS_TABLE).
    pub fn tokens() -> Self {
        Self::new("fencing_tokens", "resource")
    }

    /// The table stands in this schema. Default: the first in the search path that has it.
    #[must_use]
    pub fn in_schema(mut self, schema: &str) -> Self {
        self.table = format!("{}.{}", quoted(schema), self.table);
        self
    }

    /// The token stands in this column. Default `fencing_token`.
    #[must_use]
    pub fn token_column(mut self, column: &str) -> Self {
        self.token = quoted(column);
        self
    }

    /// Which tokens are accepted. Default [`Accept::Larger`].
    #[must_use]
    pub const fn accepting(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// Changes `columns` of a row that is there. No row changed: the token is stale, or there is no such row.
    pub fn update(&self, columns: &[&str]) -> String {
        let columns = self.columns(columns);
        self.fill(include_str!("../../sql/fenced_update.sql"), &columns)
    }

    /// Makes a row, or changes `columns` of the one that is there. No row changed: the token is stale.
    pub fn upsert(&self, columns: &[&str]) -> String {
        let columns = self.columns(columns);
        self.fill(include_str!("../../sql/fenced_upsert.sql"), &columns)
    }

    /// Remembers the token and nothing else. No row changed: the token is stale.
    pub fn accept(&self) -> String {
        self.upsert(&[])
    }

    /// What is written, beginning with `$2`.
    fn columns(&self, columns: &[&str]) -> Vec<String> {
        let columns = columns.iter().map(|column| quoted(column));
        [self.token.clone()].into_iter().chain(columns).collect()
    }

    fn fill(&self, template: &str, columns: &[String]) -> String {
        let changes = numbered(columns).map(|(column, number)| format!("{column} = ${number}"));
        let parameters = (1..columns.len() + 2).map(|number| format!("${number}"));
        let smaller = match self.accept {
            Accept::Larger => "<",
            Accept::LargerOrSame => "<=",
        };
        let fields = [
            ("smaller", smaller.to_owned()),
            ("changes", joined(changes)),
            ("parameters", joined(parameters)),
            ("columns", format!("{}, {}", self.key, columns.join(", "))),
            ("table", self.table.clone()),
            ("key", self.key.clone()),
            ("token", self.token.clone()),
        ];
        let statement = template.lines().filter(|line| !line.starts_with("--"));
        filled(&statement.collect::<String>(), &fields)
    }
}

fn numbered(columns: &[String]) -> impl Iterator<Item = (&String, usize)> {
    columns.iter().zip(2..)
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Puts the fields into their places. What is put there is not looked at again.
fn filled(template: &str, fields: &[(&str, String)]) -> String {
    let mut parts = template.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        let field = fields.iter().find(|(field, _)| *field == name);
        text += field.map_or("", |(_, value)| value);
        text += rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_every_column_and_number_it() {
        let fence = SqlFence::new("t", "k").in_schema("s").token_column("f");
        assert_eq!(
            fence.accepting(Accept::LargerOrSame).upsert(&["a", "b"]),
            r#"INSERT INTO "s"."t" ("k", "f", "a", "b") VALUES ($1, $2, $3, $4) ON CONFLICT ("k") DO UPDATE SET "f" = $2, "a" = $3, "b" = $4 WHERE COALESCE("s"."t"."f", 0) <= $2"#
        );
    }

    #[test]
    fn a_name_is_never_anything_else() {
        let statement = SqlFence::new("{key}\"; DROP TABLE t; --", "k").accept();
        assert!(
            statement.starts_with(r#"INSERT INTO "{key}""; DROP TABLE t; --" ("k", "#),
            "{statement}"
        );
    }
}
