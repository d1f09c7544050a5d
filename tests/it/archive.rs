//! What every archive promises: an answer is kept once for what is read of it, the oldest go first, and a parcel's go with it.

use trackbox::model::archived::Archived;
use trackbox::model::tenant::Tenant;
use trackbox::store::Store;
use trackbox::store::archive::Amount;
use uuid::Uuid;

use crate::support::fixture::{TestStore, code, create, number, on_every_store};
use crate::support::time::at;

/// An answer about a parcel that was asked for at `at(secs)` and read as `reading`.
fn answer(tracking_id: i64, secs: i64, reading: u8) -> Archived {
    let check = (at(secs), Uuid::from_u128(secs.unsigned_abs().into()));
    Archived {
        tracking_id,
        carrier_code: code("CDEK"),
        track_number: number("N1"),
        adapter: "emulator".to_owned(),
        status: 200,
        reading: [reading; 16],
        first: check,
        last: check,
        body: vec![0, 1, 255, reading],
    }
}

async fn amount(store: &Store) -> Amount {
    store.archived_amount().await.expect("counts")
}

#[tokio::test]
async fn an_answer_is_kept_once_for_what_is_read_of_it_with_its_first_and_its_last_time() {
    on_every_store(async |TestStore { store, .. }| {
        let (one, two) = (answer(1, 10, 1), answer(1, 20, 2));
        let other = answer(2, 15, 1);
        let again = Archived {
            body: vec![9],
            ..answer(1, 30, 1)
        };
        let within = [two.clone(), one.clone(), other.clone(), two.clone()];
        store.archive(&within).await.expect("keeps");
        store
            .archive(std::slice::from_ref(&again))
            .await
            .expect("keeps");
        // One that comes late makes no time earlier.
        store.archive(&[answer(1, 25, 1)]).await.expect("keeps");
        store.archive(&[]).await.expect("keeps nothing");
        let kept = store.archived(&[2, 1, 7]).await.expect("reads");
        let one = Archived {
            last: again.last,
            ..one
        };
        assert_eq!(kept, [one, two, other]);
    })
    .await;
}

#[tokio::test]
async fn parcels_are_paged_by_id_of_a_carrier_and_since_a_time() {
    on_every_store(async |TestStore { store, .. }| {
        let post = Archived {
            carrier_code: code("POST_RU"),
            ..answer(3, 50, 1)
        };
        let answers = [answer(1, 10, 1), answer(1, 20, 2), answer(2, 30, 1), post];
        store.archive(&answers).await.expect("keeps");
        let page = async |after, limit, carrier: Option<&str>, since: Option<i64>| {
            let carrier = carrier.map(code);
            let since = since.map(at);
            let page = store.archived_parcels(after, limit, carrier.as_ref(), since);
            let page = page.await.expect("reads");
            let ids = page.iter().map(|parcel| parcel.tracking_id);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(page(0, 2, None, None).await, [1, 2]);
        assert_eq!(page(2, 2, None, None).await, [3]);
        assert_eq!(page(0, 9, Some("CDEK"), None).await, [1, 2]);
        assert_eq!(page(0, 9, None, Some(20)).await, [1, 2, 3]);
        assert_eq!(page(0, 9, Some("CDEK"), Some(21)).await, [2]);
        assert_eq!(store.count_archived_parcels().await.expect("counts"), 3);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_answers_go_first() {
    on_every_store(async |TestStore { store, .. }| {
        let answers: Vec<_> = (1..=5).map(|n| answer(n, 100 - n, 1)).collect();
        store.archive(&answers).await.expect("keeps");
        let all = amount(&store).await;
        assert_eq!(all.answers, 5);
        let none = store.delete_oldest_archived(Some(at(95)), 10).await;
        assert_eq!(none.expect("deletes"), Amount::default());
        let old = store.delete_oldest_archived(Some(at(97)), 10).await;
        let old = old.expect("deletes");
        assert_eq!((old.answers, old.bytes), (2, all.bytes / 5 * 2));
        let more = store.delete_oldest_archived(None, 2).await;
        assert_eq!(more.expect("deletes"), old);
        let left = store.archived(&[1, 2, 3, 4, 5]).await.expect("reads");
        assert_eq!(left, [answer(1, 99, 1)]);
        assert_eq!(amount(&store).await.bytes, all.bytes / 5);
    })
    .await;
}

#[tokio::test]
async fn the_answers_of_a_parcel_go_with_it_and_those_of_no_parcel_are_found() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let gone = id + 1;
        let answers = [answer(id, 1, 1), answer(gone, 2, 1), answer(gone, 3, 2)];
        store.archive(&answers).await.expect("keeps");
        let rows = store.archived_after(0, 2).await.expect("reads");
        let (first, last) = (rows[0], rows[1]);
        assert_eq!((first.tracking_id, last.tracking_id), (id, gone));
        let rest = store.archived_after(last.id, 9).await.expect("reads");
        assert_eq!(rest.len(), 1);
        let existing = store.existing(&[gone, id]).await.expect("reads");
        assert_eq!(existing, [id]);
        assert_eq!(store.delete_archived(&[]).await.expect("deletes"), 0);
        assert_eq!(store.delete_archived(&[gone]).await.expect("deletes"), 2);
        assert_eq!(
            store.archived(&[id, gone]).await.expect("reads"),
            [answer(id, 1, 1)]
        );
    })
    .await;
}

#[tokio::test]
async fn a_parcels_answers_go_with_its_last_owner() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = create(&store, "CDEK", 2).await;
        let (gone, kept) = (rows[0].id, rows[1].id);
        let answers = [answer(gone, 10, 1), answer(kept, 10, 1)];
        store.archive(&answers).await.expect("keeps");
        let ids = [gone];
        let removing = store.remove(Tenant::DEFAULT, &ids, at(20), async |_| {});
        removing.await.expect("removes");
        assert_eq!(store.forget_some().await.expect("forgets"), 1);
        let left = store.archived(&[gone, kept]).await.expect("reads");
        assert_eq!(left, answers[1..]);
    })
    .await;
}
