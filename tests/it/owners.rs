//! Owners: who has a parcel, what they are told of it, and that nobody misses or sees anything else.

use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use trackbox::clock::Time;
use trackbox::model::Update;
use trackbox::model::change::Cursor;
use trackbox::model::parcel::{Edit, State};
use trackbox::model::tenant::Tenant;
use trackbox::store::WholeStore;
use trackbox::store::acting::{Fences, TooMuch};
use trackbox::store::changes::ToldChange;
use trackbox::store::creating::{Made, OnExisting, Wish};
use trackbox::store::error::StoreError;
use trackbox::store::feed::Kind;
use trackbox::store::idempotency::Once;

use crate::support::fixture::{Applier, TestStore, code, create, number, on_every_store, read};
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

/// Shops join a parcel while it changes: each of them is told the number it counts from, and every one after it.
#[tokio::test]
async fn who_joins_under_fire_misses_nothing() {
    on_every_store(async |test: TestStore| {
        const SHOPS: i32 = 60;
        const CHANGES: i64 = 120;
        let store = &test.store;
        let id = have(store, Tenant::DEFAULT, "N1", at(0)).await.row.id;
        let mut consumer = Applier::new(store).await;
        let news = async {
            for n in 1..=CHANGES {
                let events: Vec<(String, i64)> =
                    (0..n).map(|k| (format!("{}", 100 + k), k)).collect();
                let events: Vec<(&str, i64)> = events
                    .iter()
                    .map(|(raw, secs)| (raw.as_str(), *secs))
                    .collect();
                let update = seen(
                    id,
                    1_000 + n,
                    n.unsigned_abs().into(),
                    &events[events.len() - 1..],
                );
                consumer.apply(store, vec![update]).await.expect("applies");
            }
        };
        let joins = async {
            for shops in (2..=SHOPS).collect::<Vec<_>>().chunks(4) {
                let joining = shops
                    .iter()
                    .map(|shop| have(store, Tenant::from_row(*shop), "N1", at(1)));
                join_all(joining).await;
            }
        };
        tokio::join!(news, joins);
        for shop in 1..=SHOPS {
            let told = kinds(&told(store, Tenant::from_row(shop)).await);
            let (first, rest) = told.split_first().expect("was told");
            assert_eq!(first.0, Kind::Created);
            let expected: Vec<(Kind, i64)> = (first.1 + 1..=CHANGES)
                .map(|seq| (Kind::Updated, seq))
                .collect();
            assert_eq!(rest, expected, "shop {shop}");
        }
    })
    .await;
}

/// Writers of many kinds at once, some of which give up: no reader ever sees a number before all smaller ones.
#[tokio::test]
async fn a_feed_has_no_gaps_whoever_writes_when() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let tenants: Vec<Tenant> = (1..=3).map(Tenant::from_row).collect();
        let done = std::sync::atomic::AtomicBool::new(false);
        let write = |writer: i32| {
            let tenants = &tenants;
            async move {
                for n in 0..30 {
                    let tenant = tenants[usize::try_from((writer + n) % 3).expect("small")];
                    let name = format!("W{writer}N{n}");
                    if n % 5 == 4 {
                        // The client is gone in the middle of the transaction.
                        let making = have(store, tenant, &name, at(0));
                        drop(
                            tokio::time::timeout(std::time::Duration::from_micros(700), making)
                                .await,
                        );
                    } else {
                        have(store, tenant, &name, at(0)).await;
                    }
                }
            }
        };
        let read = |tenant: Tenant| {
            let done = &done;
            async move {
                let (mut after, mut last) = (None, 0);
                loop {
                    let is_over = done.load(std::sync::atomic::Ordering::Acquire);
                    let page = store.changes(tenant, after, 50).await.expect("reads");
                    for change in &page.changes {
                        assert_eq!(change.seq, last + 1, "tenant {tenant:?}");
                        last = change.seq;
                    }
                    after = Some(page.next);
                    if is_over && !page.more && page.changes.is_empty() {
                        return last;
                    }
                    tokio::task::yield_now().await;
                }
            }
        };
        let writing = async {
            join_all((0..6).map(write)).await;
            done.store(true, std::sync::atomic::Ordering::Release);
        };
        let (_, ends) = tokio::join!(
            writing,
            join_all(tenants.iter().map(|tenant| read(*tenant)))
        );
        let heads = store.feed_ends(&tenants).await.expect("reads");
        for (tenant, end) in std::iter::zip(&tenants, ends) {
            assert_eq!(heads[tenant].last_seq, end);
        }
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}

/// What the program before owners left: the default tenant's, from the first moment.
#[tokio::test]
async fn trackings_from_before_are_the_default_tenants_and_are_adopted_when_touched() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 3).await;
        let database = sea_orm::Database::connect(&test.url)
            .await
            .expect("connects");
        for sql in [
            "DELETE FROM parcels",
            "DELETE FROM changes",
            "DELETE FROM feed_heads",
            "DELETE FROM parcel_counts",
            "UPDATE trackings SET owners = -1",
        ] {
            database
                .execute_unprepared(sql)
                .await
                .expect("makes it old");
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let stranger = Tenant::from_row(2);
        for id in &ids {
            assert!(store.owns(Tenant::DEFAULT, *id).await.expect("reads"));
            assert!(!store.owns(stranger, *id).await.expect("reads"));
        }
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(ids[0], 5, 1, &[("3", 0)])])
            .await
            .expect("applies");
        have(store, stranger, "N1", at(10)).await;
        let edit = Edit {
            title: Some(Some("x".to_owned())),
            ..Edit::default()
        };
        store
            .edit(Tenant::DEFAULT, &ids[2..], &edit, at(10), no_cache)
            .await
            .expect("edits");
        assert_eq!(
            kinds(&told(store, Tenant::DEFAULT).await),
            [(Kind::Updated, 1), (Kind::Edited, 0)]
        );
        assert_eq!(kinds(&told(store, stranger).await), [(Kind::Created, 0)]);
        let owners = texts(
            &test,
            "SELECT CAST(owners AS TEXT) FROM trackings ORDER BY id",
        )
        .await;
        assert_eq!(owners, ["1", "2", "1"]);
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}

/// A reader who saw what was lost with the database is told so, whatever came in its place.
#[tokio::test]
async fn a_cursor_from_after_the_backup_is_found_out() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let a = Tenant::DEFAULT;
        have(store, a, "N1", at(0)).await;
        let before = store.changes(a, None, 10).await.expect("reads").next;
        have(store, a, "N2", at(1)).await;
        let lost = store.changes(a, None, 10).await.expect("reads").next;
        let database = sea_orm::Database::connect(&test.url)
            .await
            .expect("connects");
        for sql in [
            "DELETE FROM changes WHERE seq = 2",
            "UPDATE feed_heads SET last_seq = 1",
        ] {
            database.execute_unprepared(sql).await.expect("restores");
        }
        assert!(
            store.changes(a, Some(lost), 10).await.is_err(),
            "it is not there yet"
        );
        have(store, a, "N3", at(2)).await;
        assert!(
            store.changes(a, Some(lost), 10).await.is_err(),
            "another change is there"
        );
        let rest = store.changes(a, Some(before), 10).await.expect("goes on");
        assert_eq!(kinds(&rest.changes), [(Kind::Created, 0)]);
        let end = store.feed_end(a).await.expect("reads");
        assert_eq!(end, rest.next);
        assert_eq!(Cursor::parse(&end.text()), Some(end));
    })
    .await;
}

/// A client that heard no answer sends its request again, from everywhere at once.
#[tokio::test]
async fn fifty_equal_requests_at_once_take_effect_once() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let once = Once {
            key: "one".to_owned(),
            fingerprint: [7; 32],
        };
        let wishes = [Wish {
            pair: (code("CDEK"), number("N1")),
            edit: Edit::default(),
        }];
        let outcome = |made: &[Option<Result<Made, TooMuch>>]| {
            let made = made.iter().flatten().flatten();
            made.map(|made| format!("{} {}", made.row.id, made.is_new))
                .collect()
        };
        let posts = (0..50).map(|_| {
            let remembered = Some((&once, &outcome as &(dyn Fn(&[_]) -> String + Sync)));
            store.create(
                Tenant::DEFAULT,
                &wishes,
                OnExisting::Keep,
                remembered,
                at(0),
                no_cache,
            )
        });
        let posts = join_all(posts).await.into_iter();
        let posts: Vec<_> = posts.map(|post| post.expect("answers")).collect();
        let (first, repeated): (Vec<_>, Vec<_>) = posts.iter().partition(|it| it.before.is_none());
        assert_eq!((first.len(), repeated.len()), (1, 49));
        let row = first[0].made[0]
            .as_ref()
            .expect("is there")
            .as_ref()
            .expect("is made");
        let expected = format!("{} true", row.row.id);
        assert!(
            repeated
                .iter()
                .all(|it| it.before.as_ref() == Some(&expected))
        );
        assert_eq!(told(store, Tenant::DEFAULT).await.len(), 1);
        let other = Once {
            fingerprint: [8; 32],
            ..once.clone()
        };
        let remembered = Some((&other, &outcome as &(dyn Fn(&[_]) -> String + Sync)));
        let reused = store.create(
            Tenant::DEFAULT,
            &wishes,
            OnExisting::Keep,
            remembered,
            at(0),
            no_cache,
        );
        assert!(matches!(reused.await, Err(StoreError::KeyReused)));
    })
    .await;
}

/// The chores: what was left by the program before is adopted, what nobody has is deleted, old changes end.
#[tokio::test]
async fn chores_adopt_forget_and_prune_in_steps() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 5).await;
        let database = sea_orm::Database::connect(&test.url)
            .await
            .expect("connects");
        for sql in [
            "DELETE FROM parcels",
            "DELETE FROM parcel_counts",
            "UPDATE trackings SET owners = -1",
        ] {
            database
                .execute_unprepared(sql)
                .await
                .expect("makes it old");
        }
        assert_eq!(store.to_adopt(3).await.expect("counts"), 3);
        assert_eq!(store.adopt_some().await.expect("adopts"), 5);
        assert_eq!(store.adopt_some().await.expect("adopts"), 0);
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        store
            .remove(Tenant::DEFAULT, &ids[..2], at(50), no_cache)
            .await
            .expect("removes");
        have(store, Tenant::from_row(2), "N1", at(60)).await;
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(ids[0], 5, 1, &[("3", 0)])])
            .await
            .expect("applies");
        assert_eq!(
            store.forget_some().await.expect("forgets"),
            1,
            "the other one has a new owner"
        );
        assert_eq!(store.forget_some().await.expect("forgets"), 0);
        let left: Vec<i64> = store
            .trackings_after(0, 10)
            .await
            .expect("reads")
            .iter()
            .map(|row| row.id)
            .collect();
        assert_eq!(left, ids[1..]);
        let late = consumer
            .apply(store, vec![seen(ids[0], 6, 2, &[("3", 0)])])
            .await
            .expect("applies");
        assert_eq!(late.unknown_trackings, 1);
        let all = store
            .changes(Tenant::DEFAULT, None, 100)
            .await
            .expect("reads");
        let middle = store
            .changes(Tenant::DEFAULT, None, 3)
            .await
            .expect("reads")
            .next;
        assert_eq!(
            store.prune_changes(at(40)).await.expect("prunes"),
            6,
            "five changes, and the head moves"
        );
        let left = store
            .changes(Tenant::DEFAULT, None, 100)
            .await
            .expect("reads");
        assert_eq!(
            kinds(&left.changes),
            [(Kind::Removed, 0), (Kind::Removed, 0)]
        );
        assert!(
            store
                .changes(Tenant::DEFAULT, Some(middle), 10)
                .await
                .is_err(),
            "it is not kept any more"
        );
        let rest = store
            .changes(Tenant::DEFAULT, Some(all.next), 10)
            .await
            .expect("goes on");
        assert!(rest.changes.is_empty() && !rest.more);
        store.count_day(20_000).await.expect("counts");
        store.count_day(20_000).await.expect("counts again");
        let day = texts(
            &test,
            "SELECT carrier_code || CAST(n AS TEXT) FROM parcel_counts_daily WHERE tenant_id = 1",
        )
        .await;
        assert_eq!(day, ["CDEK3"]);
        let (kept, counted) = counts(&test).await;
        assert_eq!(kept, counted);
    })
    .await;
}

#[tokio::test]
async fn finished_parcels_are_found_by_their_age() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let rows = create(store, "CDEK", 3).await;
        let mut consumer = Applier::new(store).await;
        consumer
            .apply(store, vec![seen(rows[0].id, 5, 1, &[("DELIVERED", 0)])])
            .await
            .expect("applies");
        assert_eq!(store.finished_parcels(at(500)).await.expect("reads"), None);
        let found = store.finished_parcels(at(501)).await.expect("reads");
        assert_eq!(found, Some((Tenant::DEFAULT, vec![rows[0].id])));
    })
    .await;
}
