//! The feed under fire: no gaps, nothing missed, nothing twice.

use futures_util::future::join_all;
use trackbox::model::change::Cursor;
use trackbox::model::parcel::Edit;
use trackbox::model::tenant::Tenant;
use trackbox::store::acting::TooMuch;
use trackbox::store::creating::{Made, OnExisting, Wish};
use trackbox::store::error::StoreError;
use trackbox::store::feed::Kind;
use trackbox::store::idempotency::Once;

use crate::owners::{counts, execute, have, kinds, no_cache, told};
use crate::support::fixture::{Applier, TestStore, code, number, on_every_store};
use crate::support::messages::seen;
use crate::support::time::at;

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
        execute(
            &test,
            &[
                "DELETE FROM changes WHERE seq = 2",
                "UPDATE feed_heads SET last_seq = 1",
            ],
        )
        .await;
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
