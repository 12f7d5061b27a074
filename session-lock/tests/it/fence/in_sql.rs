use futures_util::future::join_all;
use session_lock::fence::{Accept, SqlFence};
use session_testkit::servers::PostgresServer;
use tokio_postgres::{Client, NoTls, types::ToSql};

use super::{assert_grows, paused_and_next, shuffled};
use crate::{bench::Quorum, support::TestResult};

/// A connection whose tables no other test sees. `None`: tests with PostgreSQL are left out.
async fn schema(name: &str) -> TestResult<Option<Client>> {
    if PostgresServer::is_skipped()? {
        return Ok(None);
    }
    let client = connect(name).await?;
    client
        .batch_execute(&format!("CREATE SCHEMA {name}"))
        .await?;
    Ok(Some(client))
}

async fn connect(schema: &str) -> TestResult<Client> {
    let server = PostgresServer::shared().await?;
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    // It ends with its client.
    drop(tokio::spawn(connection));
    client
        .batch_execute(&format!("SET search_path = {schema}"))
        .await?;
    Ok(client)
}

const INVOICES: &str =
    "CREATE TABLE invoices (id int PRIMARY KEY, state text, fencing_token bigint);
    INSERT INTO invoices VALUES (17, 'open', NULL)";

fn invoices() -> SqlFence {
    SqlFence::new("invoices", "id")
}

async fn state(client: &Client) -> TestResult<(String, i64)> {
    let select = "SELECT state, fencing_token FROM invoices WHERE id = 17";
    let row = client.query_one(select, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn a_holder_that_was_paused_is_refused() -> TestResult {
    let Some(client) = schema("paused").await? else {
        return Ok(());
    };
    client.batch_execute(INVOICES).await?;
    let quorum = Quorum::of(3);
    let (paused, next) = paused_and_next(&quorum).await;
    let early = i64::try_from(next.fencing_token().0)?;
    let late = i64::try_from(paused.fencing_token().0)?;
    for (statement, id) in [
        (invoices().update(&["state"]), 17),
        (invoices().upsert(&["state"]), 18),
    ] {
        let written = client.execute(&statement, &[&id, &early, &"paid"]).await?;
        assert_eq!(written, 1);
        let written = client.execute(&statement, &[&id, &late, &"late"]).await?;
        assert_eq!(written, 0);
    }
    assert_eq!(state(&client).await?, ("paid".to_owned(), early));
    Ok(())
}

#[tokio::test]
async fn only_a_larger_token_is_accepted_unless_the_same_is_asked_for() -> TestResult {
    let Some(client) = schema("which").await? else {
        return Ok(());
    };
    client.batch_execute(INVOICES).await?;
    let again = invoices().accepting(Accept::LargerOrSame);
    let (update, upsert) = (invoices().update(&["state"]), invoices().upsert(&["state"]));
    let same = [again.update(&["state"]), again.upsert(&["state"])];
    let tokens = [
        (7, [1, 0, 1, 1]),
        (6, [0; 4]),
        (8, [1, 0, 1, 1]),
        (i64::MAX, [1, 0, 1, 1]),
    ];
    for (token, expected) in tokens {
        let mut rows = Vec::new();
        for statement in [&update, &upsert].into_iter().chain(&same) {
            let words: [&(dyn ToSql + Sync); 3] = [&17, &token, &"state"];
            rows.push(client.execute(statement, &words).await?);
        }
        assert_eq!(rows, expected, "{token}");
    }
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_not_there_is_made_by_upsert_only() -> TestResult {
    let Some(client) = schema("missing").await? else {
        return Ok(());
    };
    client.batch_execute(INVOICES).await?;
    let words: [&(dyn ToSql + Sync); 3] = [&18, &7_i64, &"new"];
    assert_eq!(
        client
            .execute(&invoices().update(&["state"]), &words)
            .await?,
        0
    );
    assert_eq!(
        client
            .execute(&invoices().upsert(&["state"]), &words)
            .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn writers_at_the_same_time_never_go_back() -> TestResult {
    let Some(client) = schema("shuffled").await? else {
        return Ok(());
    };
    client.batch_execute(INVOICES).await?;
    let tokens = shuffled(200);
    let write = |(part, tokens): (usize, &[u64])| {
        let (tokens, fence) = (tokens.to_vec(), invoices());
        let statement = [fence.update(&["state"]), fence.upsert(&["state"])][part % 2].clone();
        async move {
            let client = connect("shuffled").await.unwrap();
            for token in tokens {
                let token = i64::try_from(token).unwrap();
                let value = token.to_string();
                let rows = client.execute(&statement, &[&17, &token, &value]).await;
                let rows = rows.unwrap();
                // Whoever was accepted finds its own value or a larger one; whoever was not, a larger one.
                let (value, stands) = state(&client).await.unwrap();
                assert!(stands >= token + 1 - i64::try_from(rows).unwrap());
                assert!(value.parse::<i64>().unwrap() >= stands.min(token));
            }
        }
    };
    join_all(tokens.chunks(20).enumerate().map(write)).await;
    assert_eq!(state(&client).await?, ("200".to_owned(), 200));
    Ok(())
}

/// The transaction begins with the token, and nobody gets in before its end.
#[tokio::test]
async fn transactions_of_several_rows_are_in_the_order_of_their_tokens() -> TestResult {
    let Some(client) = schema("several").await? else {
        return Ok(());
    };
    client.batch_execute(SqlFence::TOKENS_TABLE).await?;
    client.batch_execute(SqlFence::TOKENS_TABLE).await?;
    let done = "CREATE TABLE done (number bigserial, token bigint)";
    client.batch_execute(done).await?;
    let (tokens, resource) = (shuffled(200), b"report".as_slice());
    let write = |tokens: &[u64]| {
        let tokens = tokens.to_vec();
        async move {
            let mut client = connect("several").await.unwrap();
            for token in tokens {
                let token = i64::try_from(token).unwrap();
                let transaction = client.transaction().await.unwrap();
                let accept = SqlFence::tokens().accept();
                let accepted = transaction.execute(&accept, &[&resource, &token]).await;
                if accepted.unwrap() == 1 {
                    let insert = "INSERT INTO done (token) VALUES ($1)";
                    transaction.execute(insert, &[&token]).await.unwrap();
                    transaction.commit().await.unwrap();
                }
            }
        }
    };
    join_all(tokens.chunks(20).map(write)).await;
    let rows = client
        .query("SELECT token FROM done ORDER BY number", &[])
        .await?;
    let tokens: Vec<u64> = rows
        .iter()
        .map(|row| row.get::<_, i64>(0).unsigned_abs())
        .collect();
    assert_grows(&tokens, 200);
    Ok(())
}

#[tokio::test]
async fn names_of_any_kind_stay_names() -> TestResult {
    let Some(client) = schema("quoted").await? else {
        return Ok(());
    };
    let make =
        r#"CREATE TABLE "Select ""{key}" ("Group" text PRIMARY KEY, "Order" bigint, "a b" text)"#;
    client.batch_execute(make).await?;
    let fence = SqlFence::new("Select \"{key}", "Group")
        .in_schema("quoted")
        .token_column("Order");
    for (statement, token) in [
        (fence.upsert(&["a b"]), 7_i64),
        (fence.upsert(&["a b"]), 8),
        (fence.update(&["a b"]), 9),
    ] {
        assert_eq!(
            client.execute(&statement, &[&"k", &token, &"v"]).await?,
            1,
            "{statement}"
        );
    }
    assert_eq!(client.execute(&fence.accept(), &[&"k", &9_i64]).await?, 0);
    Ok(())
}
