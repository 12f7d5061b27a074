use session_postgres::migrations::{self, SchemaError, Status};

use crate::{
    schema::Schema,
    support::{TestResult, connect},
};

/// What there is in a schema: tables with their columns, constraints and indexes, as text.
async fn shape(schema: &Schema) -> TestResult<Vec<String>> {
    let sql = "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable \
        FROM information_schema.columns WHERE table_schema = current_schema() \
        UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) \
        FROM pg_constraint WHERE connamespace = current_schema()::regnamespace \
        UNION ALL SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema() \
        ORDER BY 1";
    let rows = schema.client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn all_down(postgres: &session_postgres::Postgres) -> TestResult {
    while migrations::down(postgres).await?.found > 0 {}
    Ok(())
}

#[tokio::test]
async fn up_down_up_down_leaves_the_same_and_then_nothing() -> TestResult {
    let Some(schema) = Schema::empty().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    assert_eq!(migrations::status(&postgres).await?.found, 0);
    let before = migrations::up(&postgres).await?;
    assert_eq!(before.found, 0);
    assert!(migrations::status(&postgres).await?.is_current());
    let made = shape(&schema).await?;
    assert!(
        made.iter()
            .any(|line| line.contains("latchkey_records.fence"))
    );
    all_down(&postgres).await?;
    assert_eq!(migrations::status(&postgres).await?.found, 0);
    // The table of versions stays.
    let left = shape(&schema).await?;
    assert!(
        left.iter().all(|line| line.contains("latchkey_migrations")),
        "{left:?}"
    );
    migrations::up(&postgres).await?;
    assert_eq!(shape(&schema).await?, made);
    all_down(&postgres).await?;
    assert_eq!(shape(&schema).await?, left);
    Ok(())
}

#[tokio::test]
async fn every_version_can_be_taken_back_and_made_again_by_itself() -> TestResult {
    let Some(schema) = Schema::empty().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    migrations::up(&postgres).await?;
    let made = shape(&schema).await?;
    let newest = migrations::status(&postgres).await?.needed;
    for steps in 1..=newest {
        for step in 0..steps {
            assert_eq!(migrations::down(&postgres).await?.found, newest - step);
        }
        assert_eq!(migrations::status(&postgres).await?.found, newest - steps);
        assert_eq!(migrations::up(&postgres).await?.found, newest - steps);
        assert_eq!(shape(&schema).await?, made);
    }
    assert_eq!(migrations::up(&postgres).await?.found, newest);
    Ok(())
}

#[tokio::test]
async fn of_many_who_migrate_at_once_one_does() -> TestResult {
    let Some(schema) = Schema::empty().await? else {
        return Ok(());
    };
    let mut migrators = Vec::new();
    for _ in 0..8 {
        let postgres = schema.postgres().await?;
        migrators.push(tokio::spawn(async move { migrations::up(&postgres).await }));
    }
    let mut found = Vec::new();
    for migrator in migrators {
        found.push(migrator.await??.found);
    }
    let newest = migrations::status(&schema.postgres().await?).await?.needed;
    found.sort_unstable();
    assert_eq!(
        found,
        [0, newest, newest, newest, newest, newest, newest, newest]
    );
    Ok(())
}

#[tokio::test]
async fn the_text_to_run_by_hand_makes_the_same() -> TestResult {
    let (Some(by_hand), Some(by_us)) = (Schema::empty().await?, Schema::new().await?) else {
        return Ok(());
    };
    // As psql sends it: all of it at once, outside of any transaction of ours.
    let client = connect(&by_hand.url).await?;
    client.batch_execute(&migrations::sql()).await?;
    assert_eq!(shape(&by_hand).await?, shape(&by_us).await?);
    assert!(
        migrations::status(&by_hand.postgres().await?)
            .await?
            .is_current()
    );
    Ok(())
}

#[tokio::test]
async fn tables_of_a_newer_release_are_left_alone() -> TestResult {
    let Some(schema) = Schema::new().await? else {
        return Ok(());
    };
    let postgres = schema.postgres().await?;
    let newer = "INSERT INTO latchkey_migrations (version, name) VALUES (1000, 'from the future')";
    schema.client.batch_execute(newer).await?;
    let made = shape(&schema).await?;
    for refused in [
        migrations::up(&postgres).await,
        migrations::down(&postgres).await,
    ] {
        assert!(
            matches!(refused, Err(SchemaError::Ahead { found: 1000, .. })),
            "{refused:?}"
        );
    }
    let refused = session_postgres::PostgresRecords::new(&postgres).await;
    assert!(matches!(refused, Err(SchemaError::Ahead { .. })));
    assert_eq!(shape(&schema).await?, made);
    Ok(())
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() -> TestResult {
    let Some(schema) = Schema::empty().await? else {
        return Ok(());
    };
    // The last one cannot make its table.
    let taken = "CREATE TABLE latchkey_waiters (taken integer)";
    schema.client.batch_execute(taken).await?;
    let postgres = schema.postgres().await?;
    let refused = migrations::up(&postgres).await;
    assert!(matches!(refused, Err(SchemaError::Store(_))), "{refused:?}");
    let left = shape(&schema).await?;
    assert!(
        left.iter().all(|line| line.contains("latchkey_waiters")),
        "{left:?}"
    );
    let Status { found, .. } = migrations::status(&postgres).await?;
    assert_eq!(found, 0);
    Ok(())
}
