//! A corrupt row stops nothing but the request for itself.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};
use trackbox::model::tenant::Tenant;
use trackbox::store::error::StoreError;
use trackbox::store::queues::After;
use uuid::Uuid;

use crate::support::fixture::{Applier, TestStore, claim_due, code, create, on_every_store, read};
use crate::support::messages::seen;
use crate::support::time::at;

/// Makes the tracking `id` unreadable: no track number has a line break.
async fn spoil(url: &str, id: i64) {
    let database = Database::connect(url).await.expect("connects");
    let sql = format!("UPDATE trackings SET track_number = 'N\n1' WHERE id = {id}");
    database.execute_unprepared(&sql).await.expect("spoils");
    database.close().await.expect("closes");
}

#[tokio::test]
async fn a_corrupt_row_is_left_out_of_an_answer_and_an_error_if_asked_for_alone() {
    on_every_store(async |TestStore { store, url, .. }| {
        let ids: Vec<i64> = create(&store, "CDEK", 3)
            .await
            .iter()
            .map(|row| row.id)
            .collect();
        spoil(&url, ids[1]).await;
        let found = store.trackings_by_ids(&ids).await.expect("reads the rest");
        let found: Vec<i64> = found.iter().map(|row| row.id).collect();
        assert_eq!(found, [ids[0], ids[2]]);
        let all = store
            .trackings_after(0, 100)
            .await
            .expect("reads the rest");
        assert_eq!(all.len(), 2);
        let alone = store.trackings_by_ids(&[ids[1]]).await;
        let alone = alone.expect_err("cannot be read");
        assert_eq!(
            alone.to_string(),
            format!(
                "table trackings, row {}: track_number is unreadable: must not contain control characters",
                ids[1]
            )
        );
        let refreshed = store.refresh(Tenant::DEFAULT, ids[1], at(50), |_| Duration::ZERO, async |_| {}).await;
        assert!(matches!(refreshed, Err(StoreError::Corrupt { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_corrupt_row_stops_neither_claims_nor_updates() {
    on_every_store(async |TestStore { store, url, .. }| {
        let rows = create(&store, "CDEK", 3).await;
        spoil(&url, rows[1].id).await;
        let claimed = claim_due(&store, &[code("CDEK")], 1, 9).await;
        assert_eq!((claimed.trackings.len(), claimed.corrupt), (2, 1));
        let again = claim_due(&store, &[code("CDEK")], 2, 9).await;
        assert_eq!(
            (again.trackings.len(), again.corrupt),
            (0, 0),
            "it keeps its lease"
        );
        let mut applier = Applier::new(&store).await;
        let updates = rows
            .iter()
            .map(|row| seen(row.id, 9, 1, &[("DELIVERED", 5)]))
            .collect();
        let applied = applier.apply(&store, updates).await.expect("applies");
        assert_eq!((applied.changes.len(), applied.unknown_trackings), (2, 1));
        assert_eq!(read(&store, rows[2].id).await.version, 2);
    })
    .await;
}

/// SQLite holds any number as a time; PostgreSQL refuses those that are none.
#[tokio::test]
async fn a_corrupt_time_or_id_hides_no_other_parcel_of_its_carrier() {
    let test = crate::support::fixture::sqlite().await;
    let (store, url) = (test.store.clone(), test.url.clone());
    let rows = create(&store, "CDEK", 2).await;
    let database = Database::connect(&url).await.expect("connects");
    for sql in [
        "UPDATE trackings SET next_check_at = -9223372036854775807 WHERE id = 1",
        "INSERT INTO consumers VALUES ('trackbox', 'nobody', 9000000000000000)",
    ] {
        database.execute_unprepared(sql).await.expect("spoils");
    }
    let due = store
        .due_queues(&After::default(), 10, at(1))
        .await
        .expect("lists");
    assert_eq!(due.queues.len(), 1);
    let claimed = claim_due(&store, &[code("CDEK")], 1, 1).await;
    assert_eq!((claimed.trackings.len(), claimed.corrupt), (0, 1));
    let claimed = claim_due(&store, &[code("CDEK")], 1, 1).await;
    assert_eq!(claimed.trackings[0].id, rows[1].id);
    let member = Uuid::from_u128(1);
    let members = store.keep_member(member, at(9), at(1)).await;
    assert_eq!(members.expect("reads the rest"), [member]);
}
