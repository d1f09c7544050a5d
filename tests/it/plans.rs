//! PostgreSQL reads the large tables through indexes only, by the generic plans that the program's sessions ask for.
//!
//! The statements run as the program sends them; the server's count of sequential scans is the judge.

use std::time::Duration;

use sea_orm::Database;
use trackbox::model::Update;
use trackbox::model::parcel::{Edit, State};
use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;
use trackbox::store::acting::Fences;
use trackbox::store::claims::{Claim, Early, Take};
use trackbox::store::queues::After;
use trackbox::store::search::Filter;
use trackbox::store::{Connections, WholeStore};
use uuid::Uuid;

use crate::support::fixture::{Applier, LEASE, code, number, postgres, postgres_server, shares};
use crate::support::large::{fill, sequential_scans, sessions_gone};
use crate::support::messages::seen;
use crate::support::time::at;

async fn work_with(store: &WholeStore) {
    for n in 0..8_usize {
        let queues = store
            .due_queues(&After::default(), 100, at(1_800))
            .await
            .expect("lists");
        assert!(queues.queues.len() > 60);
        for carrier in ["CDEK", "C5", "NONE"] {
            let limit = if n % 2 == 0 { 100 } else { 3 };
            let answered_before = at(1_500);
            let carriers = [code(carrier), code("C7")];
            let now = at(1_800);
            let shelf = shares(&carriers, 1_000, 0);
            let shelf = store.early(&shelf, answered_before, now).await;
            let shelf = shelf.expect("lists").into_iter();
            let shelf: Vec<i64> = shelf.map(|(_, id)| id).collect();
            let early = match n % 3 {
                0 => Early::Of {
                    trackings: &shelf,
                    answered_before,
                },
                _ => Early::Fill {
                    per_call: 30,
                    begun: 0,
                },
            };
            let take = match n % 4 {
                3 => Take::Trial,
                _ => Take::Due { early },
            };
            let shares = shares(&carriers[..1 + n % 2], limit, limit / 2);
            let claim = Claim {
                shares: &shares,
                limit,
                take,
            };
            let claimed = store.claim(claim, now, LEASE).await.expect("claims");
            assert!(claimed.trackings.is_empty() || carrier != "NONE" || n % 2 == 1);
            assert!(carrier != "CDEK" || !claimed.trackings.is_empty());
        }
    }
    let mut applier = Applier::new(store).await;
    for n in 0..8_i64 {
        let updates: Vec<Update> = (1..=500)
            .map(|id| {
                seen(
                    id * 7 + n,
                    2_000 + n,
                    1,
                    &[("IN_TRANSIT", 1_000), ("OUT_FOR_DELIVERY", 1_500 + n)],
                )
            })
            .collect();
        let applied = applier.apply(store, updates).await.expect("applies");
        assert_eq!(applied.unknown_trackings, 0);
        let ids: Vec<i64> = (1..=500).map(|id| id * 11 + n).collect();
        assert_eq!(
            store.trackings_by_ids(&ids).await.expect("reads").len(),
            500
        );
        let newest = store.events_after(n * 1_000, 500).await.expect("reads");
        assert_eq!(newest.len(), 500);
        let events = store
            .events(Tenant::DEFAULT, 42 + n, false, 100, 0)
            .await
            .expect("reads");
        assert!(!events.expect("is there").is_empty());
        let pairs = [(code("CDEK"), number(&format!("NEW{n}")))];
        store
            .create_or_get(Tenant::DEFAULT, &pairs, at(2_000))
            .await
            .expect("creates");
        store
            .refresh(
                Tenant::DEFAULT,
                77 + n,
                at(3_000),
                |_| Duration::ZERO,
                async |_| {},
            )
            .await
            .expect("refreshes");
    }
    let leases = [(1, Uuid::from_u128(1)), (2, Uuid::from_u128(2))];
    store.give_back(&leases).await.expect("gives back");
}

/// Each question of a list, and what else a tenant reads and does.
async fn own_with(store: &WholeStore) {
    let tenant = Tenant::DEFAULT;
    let questions = [
        Filter::default(),
        Filter {
            statuses: vec![Status::Exception, Status::InTransit],
            ..Filter::default()
        },
        Filter {
            carriers: vec!["C5".to_owned()],
            ..Filter::default()
        },
        Filter {
            label: Some("shop".to_owned()),
            ..Filter::default()
        },
        Filter {
            order_key: Some("o77".to_owned()),
            ..Filter::default()
        },
        Filter {
            number_key: Some("N99".to_owned()),
            ..Filter::default()
        },
        Filter {
            failing: Some(true),
            ..Filter::default()
        },
        Filter {
            states: vec![State::Archived],
            ..Filter::default()
        },
        Filter {
            states: vec![State::Archived, State::Followed],
            ..Filter::default()
        },
    ];
    let no_cache = async |_: &Fences| ();
    for n in 0..8_i64 {
        for question in &questions {
            let page = store.find_parcels(tenant, question, None, 50).await;
            if let Some(next) = page.expect("finds").next {
                let page = store.find_parcels(tenant, question, Some(&next), 50);
                assert!(!page.await.expect("finds").ids.is_empty());
            }
        }
        let ids: Vec<i64> = (1..=500).map(|id| id * 13 + n).collect();
        assert_eq!(store.owned(&ids).await.expect("reads").len(), 500);
        assert_eq!(store.askings(tenant, &ids).await.expect("reads").len(), 500);
        let row = store.tracking_of(tenant, 42 + n).await.expect("reads");
        assert!(row.is_some());
        let page = store.changes(tenant, None, 100).await.expect("reads");
        let page = store.changes(tenant, Some(page.next), 100).await;
        assert_eq!(page.expect("reads").changes.len(), 100);
        for state in [State::Stopped, State::Followed] {
            let edit = Edit {
                state: Some(state),
                ..Edit::default()
            };
            let edited = store.edit(tenant, &ids[..100], &edit, at(3_000), no_cache);
            assert_eq!(edited.await.expect("edits").parcels.len(), 100);
        }
        let gone = [90_000 + n];
        let removed = store.remove(tenant, &gone, at(3_000), no_cache).await;
        assert!(matches!(
            removed.expect("removes").parcels.as_slice(),
            [Ok(Some(_))]
        ));
        assert_eq!(store.forget_some().await.expect("deletes"), 1);
        store.adopt_some().await.expect("adopts");
        let finished = store.finished_parcels(at(0)).await.expect("reads");
        assert_eq!(finished, None);
        store.prune_changes(at(-1)).await.expect("deletes");
    }
}

#[tokio::test]
async fn no_statement_of_the_pipe_or_of_a_tenant_scans_a_large_table() {
    let test = postgres(&postgres_server()).await;
    let admin = Database::connect(&test.url).await.expect("connects");
    fill(&admin, 100_000, 5).await;
    test.store.close().await;
    sessions_gone(&admin).await;
    let open = || WholeStore::open(&test.url, Connections::default());
    let before = sequential_scans(&admin).await;
    let store = open().await.expect("opens");
    work_with(&store).await;
    store.close().await;
    sessions_gone(&admin).await;
    let scans = sequential_scans(&admin).await - before;
    assert_eq!(scans, 0, "sequential scans by the pipe");
    let store = open().await.expect("opens");
    own_with(&store).await;
    store.close().await;
    sessions_gone(&admin).await;
    let scans = sequential_scans(&admin).await - before;
    assert_eq!(scans, 0, "sequential scans by a tenant");
    // The judge can say no: counting all rows does scan.
    let store = open().await.expect("opens");
    store.status_counts().await.expect("counts");
    store.close().await;
    sessions_gone(&admin).await;
    assert!(sequential_scans(&admin).await > before);
}
