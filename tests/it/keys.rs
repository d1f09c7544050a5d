//! What every store promises of next checks that are brought forward.

use chrono::TimeDelta;
use trackbox::model::Update;

use crate::support::fixture::{Applier, TestStore, create, on_every_store, read};
use crate::support::messages::{failed, seen};
use crate::support::time::at;

const HOUR: i64 = 3_600;

#[tokio::test]
async fn next_checks_are_brought_forward_in_chunks_but_for_those_of_failing_parcels() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 6).await;
        let other = create(&store, "OTHER", 1).await[0].id;
        let mut applier = Applier::new(&store).await;
        let next = |update: Update, hours: i64| Update {
            next_check_at: at(hours * HOUR),
            ..update
        };
        let answered = |id: i64, hours: i64| next(seen(id, id, 1, &[("IN_TRANSIT", 1)]), hours);
        let mut updates: Vec<Update> = rows[..4].iter().map(|row| answered(row.id, 20)).collect();
        updates.push(answered(rows[4].id, 1));
        updates.push(answered(other, 20));
        updates.push(next(failed(rows[5].id, 5, 1), 20));
        applier.apply(&store, updates).await.expect("applies");
        let longest = TimeDelta::hours(2);
        let pull_in = async || {
            let moved = store.pull_in("CDEK", longest, at(600), 3).await;
            moved.expect("brings forward")
        };
        assert_eq!(
            (pull_in().await, pull_in().await, pull_in().await),
            (3, 1, 0)
        );
        for row in &rows[..4] {
            let due = read(&store, row.id).await.next_check_at;
            assert_eq!(due, at(row.id + 2 * HOUR), "two hours after its answer");
        }
        assert_eq!(
            read(&store, rows[4].id).await.next_check_at,
            at(HOUR),
            "it was soon enough"
        );
        for id in [rows[5].id, other] {
            assert_eq!(read(&store, id).await.next_check_at, at(20 * HOUR));
        }
    })
    .await;
}
