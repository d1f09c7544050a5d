//! What shops tell of a parcel beside its number: each its own, asked with in turn, and in no message.

mod pipe;
mod process;

use std::collections::BTreeMap;

use trackbox::clock::Time;
use trackbox::model::extra::Wants;
use trackbox::model::parcel::{Edit, State};
use trackbox::model::tenant::{Tenant, TenantCode};
use trackbox::model::{Tracking, Update};
use trackbox::store::acting::{Acted, Fences};
use trackbox::store::creating::{OnExisting, Wish};
use trackbox::store::{Store, WholeStore};

use crate::support::fixture::{Applier, TestStore, claim, code, number, on_every_store, read};
use crate::support::messages::{failed, seen};
use crate::support::time::at;

async fn no_cache(_: &Fences) {}

async fn shop(store: &Store) -> Tenant {
    let code = TenantCode::parse("shop").expect("a code");
    let made = store.create_tenant(&code, "Shop", None, None, at(0)).await;
    made.expect("creates").expect("is new").tenant
}

/// That a shop tells this postal code, or none any more.
fn tells(postal_code: Option<&str>) -> Edit {
    let value = postal_code.map(str::to_owned);
    Edit {
        extra: BTreeMap::from([("postal_code".to_owned(), value)]),
        ..Edit::default()
    }
}

async fn wishes(store: &WholeStore, tenant: Tenant, name: &str, edit: Edit, now: Time) -> Tracking {
    let wish = Wish {
        pair: (code("CDEK"), number(name)),
        edit,
    };
    let wishes = [wish];
    let making = store.create(tenant, &wishes, OnExisting::Keep, None, now, no_cache);
    let mut made = making.await.expect("creates").made;
    let made = made.pop().flatten().expect("is there");
    made.expect("is not refused").row
}

async fn edits(store: &WholeStore, tenant: Tenant, id: i64, edit: &Edit, now: Time) -> Acted {
    let acted = store.edit(tenant, &[id], edit, now, no_cache).await;
    acted.expect("edits")
}

/// The postal code that the tracking is asked with next; empty if none is told.
async fn next(store: &WholeStore, id: i64) -> String {
    let row = read(store, id).await;
    let next = row.extras.next();
    next.map(|extra| extra.get("postal_code").to_owned())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_claim_has_what_the_shops_told_and_each_keeps_its_turn() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let (ours, theirs) = (Tenant::DEFAULT, shop(store).await);
        let plain = wishes(store, ours, "N0", Edit::default(), at(0)).await;
        let told = wishes(store, ours, "N1", tells(Some("10115")), at(0)).await;
        let id = told.id;
        let claimed = claim(store, "CDEK", 1, 10).await;
        let with: Vec<(i64, Option<&str>)> = claimed
            .iter()
            .map(|row| (row.id, row.extras.next().map(|it| it.get("postal_code"))))
            .collect();
        assert_eq!(with.len(), 2);
        assert!(with.contains(&(plain.id, None)) && with.contains(&(id, Some("10115"))));
        // Another shop's own comes after it, and changes nothing for the first.
        wishes(store, theirs, "N1", tells(Some("20095")), at(1)).await;
        assert_eq!(next(store, id).await, "10115");
        assert_eq!(read(store, id).await.extras.refused().next, 1);
        // The same told twice is one.
        edits(store, theirs, id, &tells(Some("10115")), at(2)).await;
        assert!(read(store, id).await.extras.refused().is_over);
        edits(store, theirs, id, &tells(Some("20095")), at(2)).await;
        edits(store, ours, id, &tells(Some("10117")), at(2)).await;
        assert_eq!(next(store, id).await, "10117");
        // What a shop that follows it no more told does not count.
        let state = |state| Edit {
            state: Some(state),
            ..Edit::default()
        };
        edits(store, ours, id, &state(State::Stopped), at(3)).await;
        assert_eq!(next(store, id).await, "20095");
        edits(store, ours, id, &state(State::Followed), at(4)).await;
        assert_eq!(next(store, id).await, "20095", "nobody loses a turn by it");
        let removed = store.remove(theirs, &[id], at(5), no_cache).await;
        removed.expect("removes");
        assert_eq!(next(store, id).await, "10117");
        edits(store, ours, id, &tells(None), at(6)).await;
        assert_eq!(read(store, id).await.extras.next(), None);
        assert!(read(store, plain.id).await.extras.next().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_failed_without_it_is_due_once_it_is_told() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let ours = Tenant::DEFAULT;
        let id = wishes(store, ours, "N1", Edit::default(), at(0)).await.id;
        let mut applier = Applier::new(store).await;
        applier
            .apply(store, vec![failed(id, 10, 1)])
            .await
            .expect("applies");
        let before = read(store, id).await;
        assert_eq!(before.next_check_at, at(70));
        let acted = edits(store, ours, id, &tells(Some("10115")), at(20)).await;
        assert!(acted.due);
        let after = read(store, id).await;
        assert_eq!(
            (after.next_check_at, after.version),
            (at(20), before.version + 1)
        );
        // Other words change no check.
        let title = Edit {
            title: Some(Some("Shoes".to_owned())),
            ..Edit::default()
        };
        assert!(!edits(store, ours, id, &title, at(15)).await.due);
        assert_eq!(read(store, id).await.next_check_at, at(20));
    })
    .await;
}

#[tokio::test]
async fn a_turn_comes_with_the_newest_check_in_any_order() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let id = wishes(store, Tenant::DEFAULT, "N1", tells(Some("1")), at(0))
            .await
            .id;
        let mut applier = Applier::new(store).await;
        let check = |secs, check, extra_turn| Update {
            extra_turn,
            ..failed(id, secs, check)
        };
        for updates in [
            vec![check(20, 2, 1)],
            vec![check(10, 1, 3)],
            vec![check(20, 2, 1)],
        ] {
            applier.apply(store, updates).await.expect("applies");
            assert_eq!(read(store, id).await.extras.turn(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_carrier_answers_for_what_one_shop_told() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let (ours, theirs) = (Tenant::DEFAULT, shop(store).await);
        let id = wishes(store, ours, "N1", tells(Some("1")), at(0)).await.id;
        wishes(store, theirs, "N1", tells(Some("2")), at(1)).await;
        let names = |names: &[&str]| Wants {
            uses: names.iter().map(|it| (*it).to_owned()).collect(),
            needs: Vec::new(),
        };
        let is_told = async |tenant, uses: &[&str]| {
            let askings = store.askings(tenant, &[id, 4711]).await.expect("reads");
            assert_eq!(askings.len(), 1);
            askings[0].is_told(&names(uses))
        };
        assert!(
            !is_told(ours, &["postal_code"]).await,
            "nothing was answered yet"
        );
        let mut applier = Applier::new(store).await;
        let answer = |secs, extra_turn| Update {
            extra_turn,
            ..seen(
                id,
                secs,
                u128::from(secs.unsigned_abs()),
                &[("IN_TRANSIT", 1)],
            )
        };
        for (secs, turn) in [(10, 0), (20, 1)] {
            applier
                .apply(store, vec![answer(secs, turn)])
                .await
                .expect("applies");
            assert_eq!(is_told(ours, &["postal_code"]).await, turn == 0);
            assert_eq!(is_told(theirs, &["postal_code"]).await, turn == 1);
            assert!(!is_told(ours, &["country"]).await);
        }
        let nobody = store.askings(Tenant::from_row(99), &[id]).await;
        assert_eq!(nobody.expect("reads"), []);
    })
    .await;
}
