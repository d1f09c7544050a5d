//! What only a PostgreSQL can do to the store: hold locks for a process that was stopped, and take long over a migration.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};
use tokio::sync::Notify;
use trackbox::store::updates::Batch;
use trackbox::store::{Connections, Store};
use uuid::Uuid;

use crate::fixture::{Applier, TOPIC, at, create, postgres, postgres_server, seen};

#[tokio::test]
async fn a_consumer_that_was_stopped_inside_a_transaction_holds_its_partition_for_seconds_only() {
    let test = postgres(&postgres_server()).await;
    let rows = create(&test.store, "CDEK", 1).await;
    let applier = Applier::new(&test.store).await;
    let batch = Batch {
        ownership: applier.ownership,
        first_offset: applier.offset,
        next_offset: applier.offset + 1,
        updates: vec![seen(rows[0].id, 9, 1, &[("A", 5)])],
        dead_letters: Vec::new(),
    };
    let holds = Notify::new();
    // Before the commit, and for ever: as if the process were stopped.
    let stopped = test.store.apply(&batch, at(500), async |_| {
        holds.notify_one();
        std::future::pending().await
    });
    let next = async {
        holds.notified().await;
        loop {
            let taking = test.store.take_partition(TOPIC, 0, Uuid::now_v7(), at(600));
            if let Ok((_, offset)) = taking.await {
                return offset;
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(15), next);
    tokio::select! {
        _ = stopped => panic!("it never ends by itself"),
        offset = next => {
            let offset = offset.expect("the partition is free within 15 s");
            assert_eq!(offset, batch.first_offset, "nothing of it took effect");
        }
    }
}

#[tokio::test]
async fn a_migration_may_take_longer_than_any_other_statement() {
    let test = postgres(&postgres_server()).await;
    let impatient = Connections {
        statement_timeout: Duration::from_millis(100),
        ..Connections::default()
    };
    let store = Store::open(&test.url, impatient).await.expect("opens");
    let busy = Database::connect(&test.url).await.expect("connects");
    let hold =
        "BEGIN; LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT";
    let (held, migrated) = tokio::join!(busy.execute_unprepared(hold), async {
        // Once the lock is held.
        let waiting = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                       AND relation = '_sqlx_migrations'::regclass";
        let statement = || sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, waiting);
        let watch = Database::connect(&test.url).await.expect("connects");
        while watch
            .query_one_raw(statement())
            .await
            .expect("reads")
            .is_none()
        {
            tokio::task::yield_now().await;
        }
        store.migrate().await
    });
    held.expect("holds the lock");
    migrated.expect("waits for it");
}
