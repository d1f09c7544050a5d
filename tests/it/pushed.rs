//! What every store promises of what carriers push: numbers are found in any spelling, and hints make parcels due once.

use chrono::TimeDelta;
use trackbox::model::tenant::Tenant;
use trackbox::model::{Held, Update};
use trackbox::plan::Sections;
use trackbox::plan::pushed::PushNews;
use trackbox::store::pushed::{Hint, Sought};

use crate::support::fixture::{Applier, TestStore, claim, code, number, on_every_store, read};
use crate::support::messages::seen;
use crate::support::time::at;

fn sought(carrier: Option<&str>, number: &str) -> Sought {
    Sought {
        carrier: carrier.map(str::to_owned),
        number: number.to_owned(),
    }
}

#[tokio::test]
async fn numbers_are_found_in_any_spelling_and_only_under_their_carrier() {
    on_every_store(async |TestStore { store, .. }| {
        let pairs = [("CDEK", "a 1"), ("X", "A1"), ("Y", "A1"), ("CDEK", "A2")];
        let pairs = pairs.map(|(carrier, text)| (code(carrier), number(text)));
        let rows = store
            .create_or_get(Tenant::DEFAULT, &pairs, at(0))
            .await
            .expect("creates");
        let wanted = [
            sought(Some("cdek"), "A1"),
            sought(Some("CDEK"), "a2"),
            sought(Some("CDEK"), "A3"),
            sought(None, "a\u{200b}1"),
            sought(Some("Z"), "A1"),
            sought(Some("CDEK"), "A1"),
        ];
        let found = store.by_number(&wanted).await.expect("looks");
        let mut found: Vec<(usize, i64)> =
            found.iter().map(|(place, row)| (*place, row.id)).collect();
        found.sort_unstable();
        let id = |nth: usize| rows[nth].id;
        let mut any = vec![(3, id(0)), (3, id(1)), (3, id(2))];
        any.sort_unstable();
        let expected = [vec![(0, id(0)), (1, id(3))], any, vec![(5, id(0))]];
        assert_eq!(found, expected.concat());
        assert!(store.by_number(&[]).await.expect("looks").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_hint_makes_a_parcel_due_once_in_ten_minutes_and_leaves_its_lease() {
    on_every_store(async |TestStore { store, .. }| {
        let rows = crate::support::fixture::create(&store, "CDEK", 3).await;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut applier = Applier::new(&store).await;
        let held = claim(&store, "CDEK", 1, 1).await;
        assert_eq!(held[0].id, ids[0]);
        let checks = vec![
            seen(ids[1], 10, 2, &[("IN_TRANSIT", 0)]),
            seen(ids[2], 10, 3, &[("DELIVERED", 0)]),
        ];
        applier.apply(&store, checks).await.expect("applies");
        let hint = async |secs: i64, fenced: &[i64]| {
            let hints: Vec<Hint> = ids
                .iter()
                .rev()
                .chain(&ids)
                .map(|id| Hint {
                    id: *id,
                    due_at: at(secs),
                })
                .collect();
            let mut told = Vec::new();
            let before_commit = async |versions: &[(i64, i64)]| told.extend_from_slice(versions);
            let count = store
                .hint(&hints, at(secs), before_commit)
                .await
                .expect("hints");
            told.sort_unstable();
            let versions: Vec<i64> = told.iter().map(|(id, _)| *id).collect();
            assert_eq!((versions.as_slice(), count), (fenced, fenced.len()));
            for (id, version) in told {
                assert_eq!(read(&store, id).await.version, version);
            }
        };
        hint(20, &ids).await;
        let held_now = read(&store, ids[0]).await;
        assert_eq!(held_now.lease_id, held[0].lease_id);
        assert_eq!(held_now.next_check_at, at(20), "when its check has ended");
        let due = read(&store, ids[1]).await;
        assert_eq!((due.next_check_at, due.urgent), (at(20), false));
        let ended = read(&store, ids[2]).await;
        assert!(ended.active && ended.looks_again && ended.next_check_at == at(20));
        let claimed = claim(&store, "CDEK", 20, 9).await;
        assert_eq!(claimed.len(), 2, "all but the one that is held");
        hint(619, &[]).await;
        hint(620, &ids).await;
        // The answer to a call from before the hint does not put it off, and one from after it does.
        let checks = |secs, check| vec![seen(ids[1], secs, check, &[("IN_TRANSIT", 0)])];
        applier
            .apply(&store, checks(600, 5))
            .await
            .expect("applies");
        assert_eq!(read(&store, ids[1]).await.next_check_at, at(20));
        applier
            .apply(&store, checks(630, 6))
            .await
            .expect("applies");
        let checked = read(&store, ids[1]).await;
        assert_eq!(checked.next_check_at - at(630), TimeDelta::seconds(60));
    })
    .await;
}

#[tokio::test]
async fn what_was_told_first_is_counted_by_section_where_the_carrier_pushes() {
    on_every_store(async |TestStore { store, .. }| {
        let names = ["CDEK", "OTHER"].map(str::to_owned);
        let store = store.learning_by(Sections::new(names).pushed(["CDEK"]));
        let mut applier = Applier::new(&store).await;
        for carrier in ["CDEK", "OTHER"] {
            let id = crate::support::fixture::create(&store, carrier, 1).await[0].id;
            let pushed = |secs, check, events: &[(&str, i64)]| Update {
                held: Held::Pushed,
                ..seen(id, secs, check, events)
            };
            let updates = vec![
                seen(id, 10, 1, &[("IN_TRANSIT", 0)]),
                pushed(30, 2, &[("OUT_FOR_DELIVERY", 25)]),
                pushed(31, 3, &[("OUT_FOR_DELIVERY", 25)]),
                seen(
                    id,
                    60,
                    4,
                    &[
                        ("IN_TRANSIT", 0),
                        ("OUT_FOR_DELIVERY", 25),
                        ("EXCEPTION", 50),
                    ],
                ),
                pushed(20, 5, &[("IN_TRANSIT", 0)]),
            ];
            applier.apply(&store, updates).await.expect("applies");
        }
        let counted = store.push_news("CDEK").await.expect("reads");
        let expected = PushNews {
            heard_at: Some(at(31)),
            told: 1.0,
            found: 1.0,
        };
        assert_eq!(counted, expected);
        let others = store.push_news("OTHER").await.expect("reads");
        assert_eq!(others, PushNews::default());
    })
    .await;
}
