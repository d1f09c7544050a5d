//! Who pays for a tracking: one that follows it, if one does, whatever its owners do at once.

use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use trackbox::clock::Time;
use trackbox::model::parcel::{Edit, State};
use trackbox::model::tenant::Tenant;
use trackbox::store::WholeStore;
use trackbox::store::acting::Fences;
use trackbox::store::creating::{OnExisting, Wish};
use trackbox::store::trackings::Refresh;

use crate::support::fixture::{Applier, TestStore, code, number, on_every_store};
use crate::support::messages::seen;
use crate::support::time::at;

async fn no_cache(_: &Fences) {}

fn shop(id: i32) -> Tenant {
    Tenant::from_row(id)
}

async fn join(store: &WholeStore, tenant: Tenant, names: &[&str], now: Time) -> Vec<i64> {
    let wish = |name: &&str| Wish::for_pair(&(code("CDEK"), number(name)));
    let wishes: Vec<Wish> = names.iter().map(wish).collect();
    let creating = store.create(tenant, &wishes, OnExisting::Keep, None, now, no_cache);
    let made = creating.await.expect("creates").made.into_iter().flatten();
    made.map(|made| made.expect("is not refused").row.id)
        .collect()
}

async fn set(store: &WholeStore, tenant: Tenant, ids: &[i64], state: State, now: Time) {
    let edit = Edit {
        state: Some(state),
        ..Edit::default()
    };
    let editing = store.edit(tenant, ids, &edit, now, no_cache);
    editing.await.expect("edits");
}

async fn leave(store: &WholeStore, tenant: Tenant, ids: &[i64], now: Time) {
    let removing = store.remove(tenant, ids, now, no_cache);
    removing.await.expect("removes");
}

async fn refresh(store: &WholeStore, tenant: Tenant, id: i64, now: Time) {
    let refreshing = store.refresh(tenant, id, now, |_| Duration::ZERO, async |_| {});
    let refreshed = refreshing.await.expect("refreshes");
    assert!(matches!(refreshed, Some(Refresh::Done(_))));
}

async fn number_of(database: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.expect("reads");
    row.expect("a row").try_get("", "n").expect("a number")
}

#[tokio::test]
async fn one_that_follows_a_tracking_pays_for_it() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let database = Database::connect(&test.url).await.expect("connects");
        let payer = async || {
            let sql = "SELECT CAST(payer + 1 AS BIGINT) AS n FROM trackings";
            number_of(&database, sql).await
        };
        let (a, b, c) = (shop(1), shop(2), shop(3));
        let id = join(store, b, &["N1"], at(0)).await[0];
        assert_eq!(payer().await, 2, "who created it");
        join(store, a, &["n 1"], at(1)).await;
        assert_eq!(payer().await, 2, "another owner changes nothing");
        set(store, b, &[id], State::Stopped, at(2)).await;
        assert_eq!(payer().await, 1, "who stops it does not pay");
        set(store, b, &[id], State::Followed, at(3)).await;
        assert_eq!(payer().await, 1, "who pays goes on");
        set(store, a, &[id], State::Archived, at(4)).await;
        assert_eq!(payer().await, 2, "nor does who archives it");
        let mut consumer = Applier::new(store).await;
        let update = seen(id, 5, 1, &[("IN_TRANSIT", 0)]);
        consumer.apply(store, vec![update]).await.expect("applies");
        assert_eq!(payer().await, 2, "news change nothing");
        join(store, c, &["N1"], at(6)).await;
        refresh(store, a, id, at(40)).await;
        assert_eq!(
            payer().await,
            2,
            "who does not follow it refreshes it at the payer's expense"
        );
        refresh(store, c, id, at(80)).await;
        assert_eq!(payer().await, 3, "who follows it refreshes it at its own");
        leave(store, c, &[id], at(90)).await;
        assert_eq!(payer().await, 2);
        leave(store, b, &[id], at(91)).await;
        assert_eq!(payer().await, 1, "if nobody follows it, an owner pays");
        set(store, a, &[id], State::Followed, at(92)).await;
        leave(store, a, &[id], at(93)).await;
        assert_eq!(payer().await, 1, "what nobody has is the default tenant's");
    })
    .await;
}

/// Trackings that somebody follows, and that another one pays for.
const WRONG: &str = "SELECT COUNT(*) AS n FROM trackings AS t WHERE \
     EXISTS (SELECT 1 FROM parcels AS p WHERE p.tracking_id = t.id AND p.state = 0) AND NOT EXISTS \
     (SELECT 1 FROM parcels AS p WHERE p.tracking_id = t.id AND p.state = 0 AND p.tenant_id = t.payer + 1)";

#[tokio::test]
async fn shops_that_join_and_leave_at_once_leave_no_tracking_to_one_that_does_not_follow_it() {
    const NAMES: [&str; 6] = ["N1", "N2", "N3", "N4", "N5", "N6"];
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let database = Database::connect(&test.url).await.expect("connects");
        let ids = &join(store, shop(1), &NAMES, at(0)).await;
        let shops = (1..=3).map(|shop_id| async move {
            let tenant = shop(shop_id);
            for round in 0..9_i64 {
                let now = at(10 + 40 * round);
                join(store, tenant, &NAMES, now).await;
                // Each refreshes another one at a time, and acts on all.
                let own = ids[(round + i64::from(shop_id)).unsigned_abs() as usize % ids.len()];
                let refreshing = store.refresh(tenant, own, now, |_| Duration::ZERO, async |_| {});
                refreshing.await.expect("answers");
                match (round + i64::from(shop_id)) % 3 {
                    0 => leave(store, tenant, ids, now).await,
                    1 => set(store, tenant, ids, State::Stopped, now).await,
                    _ => set(store, tenant, ids, State::Followed, now).await,
                }
            }
        });
        join_all(shops).await;
        assert_eq!(number_of(&database, WRONG).await, 0);
        // The judge can say no.
        let spoil = "UPDATE trackings SET payer = 77";
        database.execute_unprepared(spoil).await.expect("spoils");
        assert!(number_of(&database, WRONG).await > 0);
    })
    .await;
}

#[tokio::test]
async fn trackings_from_before_are_paid_for_by_those_that_follow_them() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let database = Database::connect(&test.url).await.expect("connects");
        join(store, shop(3), &["N1", "N2"], at(0)).await;
        join(store, shop(2), &["N1", "N3"], at(1)).await;
        let ids = join(store, shop(1), &["N3", "N4"], at(2)).await;
        set(store, shop(1), &ids[..1], State::Stopped, at(3)).await;
        let before = "UPDATE trackings SET payer = 0";
        database.execute_unprepared(before).await.expect("sets");
        let migration = if test.is_sqlite() {
            include_str!("../../migrations/sqlite/0021_turns.sql")
        } else {
            include_str!("../../migrations/postgres/0021_turns.sql")
        };
        let update = migration.find("UPDATE trackings").expect("has it");
        let update = &migration[update..];
        database.execute_unprepared(update).await.expect("migrates");
        assert_eq!(number_of(&database, WRONG).await, 0);
        let first =
            "SELECT CAST(payer + 1 AS BIGINT) AS n FROM trackings WHERE track_number = 'N1'";
        assert_eq!(
            number_of(&database, first).await,
            3,
            "the one that has had it longest"
        );
    })
    .await;
}
