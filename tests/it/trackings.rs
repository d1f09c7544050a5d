//! What every store promises of making and refreshing trackings.

use std::time::Duration;

use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;
use trackbox::store::WholeStore;
use trackbox::store::trackings::Refresh;

use crate::support::fixture::{
    Applier, TestStore, claim, code, create, number, on_every_store, read,
};
use crate::support::messages::seen;
use crate::support::time::at;

async fn refresh(store: &WholeStore, id: i64, secs: i64) -> Refresh {
    let refreshed = store.refresh(
        Tenant::DEFAULT,
        id,
        at(secs),
        |_| Duration::ZERO,
        async |_| {},
    );
    refreshed.await.expect("refreshes").expect("first")
}

#[tokio::test]
async fn creating_twice_answers_the_same_rows_in_order() {
    on_every_store(async |TestStore { store, .. }| {
        let pairs: Vec<_> = (0..10_000)
            .map(|n| {
                (
                    code(if n % 3 == 0 { "POST_RU" } else { "CDEK" }),
                    number(&format!("N{n}")),
                )
            })
            .collect();
        let first = store
            .create_or_get(Tenant::DEFAULT, &pairs, at(0))
            .await
            .expect("creates");
        let made: Vec<_> = first
            .iter()
            .map(|row| (row.carrier_code.clone(), row.track_number.clone()))
            .collect();
        assert_eq!(made, pairs);
        assert!(
            first
                .iter()
                .all(|row| row.status == Status::Unknown && row.next_check_at == at(0))
        );
        let again = store
            .create_or_get(Tenant::DEFAULT, &pairs, at(50))
            .await
            .expect("answers");
        assert_eq!(again, first);
        let counts = store.status_counts().await.expect("counts");
        assert_eq!(counts[&Status::Unknown], 10_000);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_soon_after_a_refresh_or_a_check_changes_nothing() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let first = refresh(&store, id, 10).await;
        let Refresh::Done(change) = first else {
            panic!("{first:?}")
        };
        assert_eq!(change.new, read(&store, id).await);
        assert_eq!(refresh(&store, id, 39).await, Refresh::TooSoon);
        assert!(matches!(refresh(&store, id, 40).await, Refresh::Done(_)));
        let mut applier = Applier::new(&store).await;
        let update = seen(id, 100, 1, &[("IN_TRANSIT", 1)]);
        applier.apply(&store, vec![update]).await.expect("applies");
        assert_eq!(refresh(&store, id, 129).await, Refresh::TooSoon);
        assert!(matches!(refresh(&store, id, 130).await, Refresh::Done(_)));
        assert_eq!(refresh(&store, 12_345, 40).await, Refresh::Unknown);
    })
    .await;
}

#[tokio::test]
async fn a_lease_outlives_a_refresh_and_ends_with_its_check() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let lease = claim(&store, "CDEK", 1, 9).await[0].lease_id;
        refresh(&store, id, 40).await;
        assert_eq!(read(&store, id).await.lease_id, lease);
        let mut applier = Applier::new(&store).await;
        let check = lease.expect("has a lease").as_u128();
        let update = seen(id, 2, check, &[("IN_TRANSIT", 1)]);
        applier.apply(&store, vec![update]).await.expect("applies");
        let row = read(&store, id).await;
        assert_eq!(
            (row.lease_id, row.urgent, row.next_check_at),
            (None, true, at(40))
        );
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_a_check_overtakes_changes_nothing_and_is_tried_again() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let mut applier = Applier::new(&store).await;
        let overtake = async |_: &_| {
            let update = seen(id, 100, 1, &[("IN_TRANSIT", 90)]);
            applier.apply(&store, vec![update]).await.expect("applies");
        };
        let overtaken = store.refresh(Tenant::DEFAULT, id, at(105), |_| Duration::ZERO, overtake);
        assert_eq!(overtaken.await.expect("refreshes"), None);
        let row = read(&store, id).await;
        assert_eq!((row.urgent, row.status), (false, Status::InTransit));
        assert_eq!(refresh(&store, id, 105).await, Refresh::TooSoon);
        assert!(matches!(refresh(&store, id, 200).await, Refresh::Done(_)));
    })
    .await;
}

#[tokio::test]
async fn a_refresh_waits_until_the_carrier_may_be_asked_again() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let mut applier = Applier::new(&store).await;
        let update = seen(id, 100, 1, &[("IN_TRANSIT", 90)]);
        applier.apply(&store, vec![update]).await.expect("applies");
        let hour = |_: &_| Duration::from_secs(3_600);
        store
            .refresh(Tenant::DEFAULT, id, at(200), hour, async |_| {})
            .await
            .expect("refreshes");
        let row = read(&store, id).await;
        assert_eq!((row.urgent, row.next_check_at), (true, at(3_700)));
        assert_eq!(claim(&store, "CDEK", 3_600, 1).await.len(), 0);
        assert_eq!(claim(&store, "CDEK", 3_700, 1).await.len(), 1);
    })
    .await;
}
