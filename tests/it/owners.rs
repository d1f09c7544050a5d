//! Owners: who has a parcel, what they are told of it, and that nobody misses or sees anything else.

mod chores;
mod feed;
mod most;

use sea_orm::ConnectionTrait as _;
use trackbox::clock::Time;
use trackbox::model::Update;
use trackbox::model::parcel::{Edit, State};
use trackbox::model::tenant::Tenant;
use trackbox::store::WholeStore;
use trackbox::store::acting::Fences;
use trackbox::store::changes::ToldChange;
use trackbox::store::creating::{Made, OnExisting, Wish};
use trackbox::store::feed::Kind;

use crate::support::fixture::{Applier, TestStore, code, number, on_every_store, read};
use crate::support::messages::{failed, seen};
use crate::support::time::at;

/// Invalidates nothing: there is no cache.
async fn no_cache(_: &Fences) {}

async fn have(store: &WholeStore, tenant: Tenant, name: &str, now: Time) -> Made {
    let wish = Wish {
        pair: (code("CDEK"), number(name)),
        edit: Edit::default(),
    };
    let wishes = [wish];
    let making = store.create(tenant, &wishes, OnExisting::Keep, None, now, no_cache);
    let mut made = making.await.expect("creates").made;
    made.pop()
        .flatten()
        .expect("is there")
        .expect("is not refused")
}

/// All that a tenant was told, read by a cursor.
async fn told(store: &WholeStore, tenant: Tenant) -> Vec<ToldChange> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.changes(tenant, after, 7).await.expect("reads");
        all.extend(page.changes);
        after = Some(page.next);
        if !page.more {
            return all;
        }
    }
}

fn kinds(changes: &[ToldChange]) -> Vec<(Kind, i64)> {
    let kinds = changes.iter().map(|it| (it.kind, it.identity.change_seq));
    kinds.collect()
}

/// Runs statements beside the program.
async fn execute(test: &TestStore, statements: &[&str]) {
    let database = sea_orm::Database::connect(&test.url).await;
    let database = database.expect("connects");
    for sql in statements {
        let done = database.execute_unprepared(sql).await;
        done.expect("is a statement");
    }
}

/// Reads the rows of a query as JSON texts.
async fn texts(test: &TestStore, sql: &str) -> Vec<String> {
    let database = sea_orm::Database::connect(&test.url)
        .await
        .expect("connects");
    let statement = sea_orm::Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.expect("reads");
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}

/// The counts that are kept, and those of the rows themselves, each as texts.
async fn counts(test: &TestStore) -> (Vec<String>, Vec<String>) {
    let text = "CAST(tenant_id AS TEXT) || ' ' || carrier_code || ' ' || CAST(status AS TEXT) || ' ' || CAST(n AS TEXT)";
    let kept = format!("SELECT {text} FROM parcel_counts WHERE n <> 0 ORDER BY 1");
    let true_ones = format!(
        "SELECT {text} FROM (SELECT tenant_id, carrier_code, status, COUNT(*) AS n FROM parcels \
         GROUP BY tenant_id, carrier_code, status, state = 2) AS counted ORDER BY 1"
    );
    (texts(test, &kept).await, texts(test, &true_ones).await)
}

#[tokio::test]
async fn shops_share_a_tracking_and_see_nothing_of_each_other() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let (a, b) = (Tenant::DEFAULT, Tenant::from_row(2));
        let first = have(store, a, "N1", at(0)).await;
        let id = first.row.id;
        assert!(store.owns(a, id).await.expect("reads"));
        assert!(!store.owns(b, id).await.expect("reads"));
        let second = have(store, b, "n 1", at(10)).await;
        assert_eq!(
            (second.row.id, second.is_new),
            (id, true),
            "it is checked once for both"
        );
        assert!(!have(store, b, "N1", at(11)).await.is_new);
        let edit = Edit {
            order_id: Some(Some("A-17".to_owned())),
            add_labels: vec!["x".to_owned()],
            ..Edit::default()
        };
        store
            .edit(a, &[id], &edit, at(20), no_cache)
            .await
            .expect("edits");
        let owned = store.owned(&[id]).await.expect("reads");
        let view = |tenant| {
            String::from_utf8_lossy(owned[0].view(tenant).expect("is an owner")).into_owned()
        };
        assert!(view(a).contains("A-17") && !view(b).contains("A-17"));
        assert!(owned[0].view(Tenant::from_row(3)).is_none());
        assert_eq!(kinds(&told(store, b).await), [(Kind::Created, 0)]);
        assert_eq!(
            kinds(&told(store, a).await),
            [(Kind::Created, 0), (Kind::Edited, 0)]
        );
        let nothing = store
            .edit(Tenant::from_row(3), &[id], &edit, at(20), no_cache)
            .await;
        assert!(matches!(nothing.expect("answers").parcels[..], [Ok(None)]));
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}

#[tokio::test]
async fn news_go_to_all_who_follow_and_the_checks_end_when_nobody_does() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let (a, b) = (Tenant::DEFAULT, Tenant::from_row(2));
        let id = have(store, a, "N1", at(0)).await.row.id;
        have(store, b, "N1", at(1)).await;
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(id, 5, 1, &[("3", 0)])])
            .await
            .expect("applies");
        let state = |state| Edit {
            state: Some(state),
            ..Edit::default()
        };
        let stop = |tenant, to, secs| async move {
            let edit = state(to);
            let acted = store
                .edit(tenant, &[id], &edit, at(secs), no_cache)
                .await
                .expect("edits");
            acted.due
        };
        assert!(!stop(b, State::Stopped, 10).await);
        assert!(read(store, id).await.active, "the other one follows it");
        consumer
            .apply(store, vec![seen(id, 15, 2, &[("3", 0), ("4", 10)])])
            .await
            .expect("applies");
        assert!(!stop(a, State::Archived, 20).await);
        let row = read(store, id).await;
        assert!(!row.active && !row.wanted);
        // A check that was under way.
        consumer
            .apply(
                store,
                vec![seen(id, 25, 3, &[("3", 0), ("4", 10), ("5", 20)])],
            )
            .await
            .expect("applies");
        assert!(
            !read(store, id).await.active,
            "news do not bring the checks back"
        );
        assert!(stop(b, State::Followed, 30).await, "it is due again");
        let row = read(store, id).await;
        assert!(row.active && row.next_check_at == at(30));
        let updated = |seq| (Kind::Updated, seq);
        assert_eq!(
            kinds(&told(store, a).await),
            [
                (Kind::Created, 0),
                updated(1),
                updated(2),
                (Kind::Edited, 2)
            ]
        );
        assert_eq!(
            kinds(&told(store, b).await),
            [
                (Kind::Created, 0),
                updated(1),
                (Kind::Edited, 1),
                (Kind::Edited, 3)
            ]
        );
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}

#[tokio::test]
async fn three_failures_mark_a_parcel_and_a_good_check_clears_it() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let id = have(store, Tenant::DEFAULT, "N1", at(0)).await.row.id;
        let mut consumer = Applier::new(store).await;
        let failing = async || texts(&test, "SELECT number_key FROM parcels WHERE failing").await;
        for fails in 1..=3_u32 {
            assert!(failing().await.is_empty());
            let update = Update {
                check_fail_count: Some(fails),
                ..failed(id, i64::from(fails), u128::from(fails))
            };
            consumer.apply(store, vec![update]).await.expect("applies");
        }
        assert_eq!(failing().await, ["N1"]);
        consumer
            .apply(store, vec![seen(id, 9, 9, &[])])
            .await
            .expect("applies");
        assert!(failing().await.is_empty());
        assert_eq!(read(store, id).await.check_fail_count, 0);
    })
    .await;
}
