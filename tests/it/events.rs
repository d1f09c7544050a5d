//! What every store promises of the events that it lists.

use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;

use crate::support::fixture::{Applier, TestStore, create, on_every_store};
use crate::support::messages::seen;
use crate::support::time::at;

#[tokio::test]
async fn the_events_of_a_tracking_are_listed_by_time_then_id() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let none = store
            .events(Tenant::DEFAULT, id, false, 100, 0)
            .await
            .expect("reads");
        assert_eq!(none, Some(Vec::new()));
        let unknown = store
            .events(Tenant::DEFAULT, 4_711, false, 100, 0)
            .await
            .expect("reads");
        assert_eq!(unknown, None);
        let mut applier = Applier::new(&store).await;
        let update = seen(id, 9, 1, &[("A", 5), ("B", 1), ("C", 5), ("D", 3)]);
        applier.apply(&store, vec![update]).await.expect("applies");
        let page = async |limit, offset| -> Vec<String> {
            let events = store
                .events(Tenant::DEFAULT, id, false, limit, offset)
                .await
                .expect("reads");
            let events = events.expect("is there").into_iter();
            events.map(|event| event.event.status_raw).collect()
        };
        assert_eq!(page(100, 0).await, ["C", "A", "D", "B"]);
        assert_eq!(page(2, 1).await, ["A", "D"]);
        assert_eq!(page(10, u64::MAX).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn the_events_of_all_trackings_are_listed_as_they_became_known() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 2).await;
        let mut applier = Applier::new(&store).await;
        applier
            .apply(&store, vec![seen(rows[0].id, 10, 1, &[("IN_TRANSIT", 5)])])
            .await
            .expect("applies");
        let more = vec![
            seen(rows[1].id, 20, 2, &[("DELIVERED", 1)]),
            seen(
                rows[0].id,
                30,
                3,
                &[("IN_TRANSIT", 5), ("OUT_FOR_DELIVERY", 25)],
            ),
        ];
        applier.apply(&store, more).await.expect("applies");
        let first = store.events_after(0, 1).await.expect("reads");
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].event_time, first[0].tracked_at, first[0].seen_at),
            (at(5), at(0), at(500))
        );
        let rest = store.events_after(first[0].id, 100).await.expect("reads");
        let mut known: Vec<_> = rest.iter().map(|it| (it.status, it.event_time)).collect();
        known.sort_by_key(|(_, time)| *time);
        assert_eq!(
            known,
            [(Status::Delivered, at(1)), (Status::OutForDelivery, at(25))]
        );
        assert!(rest.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(rest.iter().all(|it| it.carrier_code == "CDEK"));
    })
    .await;
}
