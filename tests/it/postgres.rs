//! What only PostgreSQL does to the store: it holds the locks of a stopped process, and authenticates.

use std::path::Path;
use std::time::Duration;

use tokio::sync::Notify;
use trackbox::store::lock::StoreLock;
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use crate::support::engines::install_tls;
use crate::support::engines::postgres::{PASSWORD, PrivatePostgres};
use crate::support::fixture::{Applier, TOPIC, create, postgres, postgres_server};
use crate::support::messages::seen;
use crate::support::time::at;

#[tokio::test]
async fn a_consumer_stopped_in_a_transaction_blocks_its_partition_for_seconds() {
    let test = postgres(&postgres_server()).await;
    let rows = create(&test.store, "CDEK", 1).await;
    let applier = Applier::new(&test.store).await;
    let batch = applier.batch(vec![seen(rows[0].id, 9, 1, &[("A", 5)])]);
    let holds = Notify::new();
    // Hangs before the commit, as a stopped process does.
    let stopped = test
        .store
        .apply(std::slice::from_ref(&batch), at(500), async |_| {
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
async fn postgresql_is_reached_over_tls_and_no_password_is_ever_shown() {
    install_tls();
    let (server, certificate) = PrivatePostgres::start_encrypted();
    let open = async |password: &str, mode: &str, ca_file: Option<&Path>| {
        let connections = Connections {
            ca_file: ca_file.map(Path::to_owned),
            ..Connections::default()
        };
        let server = server.server(Some(password));
        WholeStore::open(&format!("{server}/postgres?sslmode={mode}"), connections).await
    };
    let ca_file = Some(certificate.as_path());
    let store = open(PASSWORD, "verify-full", ca_file).await.expect("opens");
    store.ping().await.expect("answers");
    store.close().await;
    let url = format!(
        "{}/postgres?sslmode=verify-full",
        server.server(Some(PASSWORD))
    );
    let lock = StoreLock::take(&url, ca_file, false).await;
    lock.expect("connects as well")
        .expect("is free")
        .release()
        .await;
    for (password, mode, ca_file, why) in [
        ("hunter3", "verify-full", ca_file, "a wrong password"),
        (PASSWORD, "verify-full", None, "an unknown certificate"),
        (PASSWORD, "disable", ca_file, "no TLS"),
    ] {
        let refused = open(password, mode, ca_file).await.expect_err(why);
        let shown = format!("{refused} {refused:?}");
        assert!(
            refused.is_unavailable() && !shown.contains("hunter"),
            "{why}: {shown}"
        );
    }
}
