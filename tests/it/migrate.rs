//! Migrations: run by several programs at once, newer than the program, and slow.

use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, Database};
use trackbox::model::status::Status;
use trackbox::store::{Connections, WholeStore};

use crate::support::fixture::{
    Applier, TestStore, claim, create, empty_postgres, empty_sqlite, on_every_store, postgres,
    postgres_server, read,
};
use crate::support::messages::seen;
use crate::support::time::at;

#[tokio::test]
async fn several_programs_may_migrate_an_empty_database_at_once() {
    for test in [
        empty_sqlite().await,
        empty_postgres(&postgres_server()).await,
    ] {
        let programs = (0..6).map(async |_| {
            let store = WholeStore::open(&test.url, Connections::default()).await;
            store.expect("opens").migrate().await
        });
        for migrated in join_all(programs).await {
            migrated.expect("migrates or finds it done");
        }
        let status = test.store.migration_status().await.expect("tells");
        assert!(status.iter().all(|migration| migration.applied));
    }
}

#[tokio::test]
async fn migrations_run_twice_and_list_what_is_applied() {
    on_every_store(async |TestStore { store, .. }| {
        store.migrate().await.expect("migrates again");
        let status = store.migration_status().await.expect("tells");
        assert!(
            status
                .iter()
                .all(|migration| migration.applied && !migration.unknown)
        );
        assert_eq!(status[0].version, 1);
    })
    .await;
}

#[tokio::test]
async fn a_program_works_on_the_tables_of_a_newer_one() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let database = Database::connect(&test.url).await.expect("connects");
        let checksum = if test.is_sqlite() { "x'00'" } else { "'\\x00'" };
        for sql in [
            "ALTER TABLE trackings ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'",
            "ALTER TABLE tracking_events ADD COLUMN newer TEXT",
            "ALTER TABLE consumer_partitions ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'",
            "ALTER TABLE carrier_state ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'",
            "CREATE TABLE newer (id INTEGER PRIMARY KEY)",
            &format!(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'newer', TRUE, {checksum}, 0)"
            ),
        ] {
            database.execute_unprepared(sql).await.expect("upgrades");
        }
        database.close().await.expect("closes");
        store.migrate().await.expect("has nothing to do");
        let status = store.migration_status().await.expect("answers");
        assert!(status.last().is_some_and(|m| m.version == 9_999 && m.unknown));
        let id = create(store, "CDEK", 1).await[0].id;
        assert_eq!(claim(store, "CDEK", 1, 1).await.len(), 1);
        let mut applier = Applier::new(store).await;
        let update = seen(id, 2, 1, &[("DELIVERED", 1)]);
        applier.apply(store, vec![update]).await.expect("applies");
        assert_eq!(read(store, id).await.status, Status::Delivered);
        store
            .pause("CDEK", at(5), "asked to", at(1))
            .await
            .expect("pauses");
    })
    .await;
}

#[tokio::test]
async fn a_migration_may_outlast_the_statement_timeout() {
    let test = postgres(&postgres_server()).await;
    let impatient = Connections {
        statement_timeout: Duration::from_millis(100),
        ..Connections::default()
    };
    let store = WholeStore::open(&test.url, impatient).await.expect("opens");
    let busy = Database::connect(&test.url).await.expect("connects");
    let hold =
        "BEGIN; LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT";
    let (held, migrated) = tokio::join!(busy.execute_unprepared(hold), async {
        // Begins when the lock is held.
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
