//! What every store promises of facts: those of the newest check that had any are kept, whole.

use trackbox::model::Update;
use trackbox::model::facts::Facts;

use crate::support::fixture::{Applier, TestStore, create, on_every_store, read};
use crate::support::messages::{failed, seen};

fn pieces(pieces: u32) -> Facts {
    Facts {
        pieces: Some(pieces),
        ..Facts::default()
    }
}

#[tokio::test]
async fn facts_are_kept_whole_and_shown_to_those_who_ask() {
    let all = r#"{"expected_from":"2026-12-03","expected_to":"2026-12-04T09:30:00.123456Z","signed_by":"Иванов","pieces":2,
        "service":"express","origin":"Москва","destination":"Омск","numbers":[{"kind":"LOCAL","number":"7"}]}"#;
    let all = Facts::read(all).expect("are facts");
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let mut applier = Applier::new(&store).await;
        let update = Update {
            facts: Some(all.clone()),
            ..seen(id, 5, 1, &[("IN_TRANSIT", 1)])
        };
        let applied = applier.apply(&store, vec![update]).await.expect("applies");
        let row = read(&store, id).await;
        assert_eq!(applied.changes[0].new, row);
        assert_eq!(row.facts.expect("has facts").facts, all);
    })
    .await;
}

#[tokio::test]
async fn the_newest_facts_stay_whatever_comes_late_or_says_nothing() {
    on_every_store(async |TestStore { store, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let mut applier = Applier::new(&store).await;
        let told = |secs, check, facts: Option<u32>| Update {
            facts: facts.map(pieces),
            ..seen(id, secs, check, &[("IN_TRANSIT", 1)])
        };
        let failure = Update {
            facts: Some(pieces(8)),
            ..failed(id, 70, 8)
        };
        for (nth, (update, kept)) in [
            (told(10, 1, None), None),
            (told(20, 2, Some(2)), Some(2)),
            (told(40, 4, Some(2)), Some(2)),
            (told(30, 3, Some(3)), Some(2)),
            (told(60, 6, None), Some(2)),
            (told(50, 5, Some(5)), Some(5)),
            (told(45, 7, Some(7)), Some(5)),
            (told(50, 5, Some(5)), Some(5)),
            (failure, Some(8)),
            (told(80, 9, None), Some(8)),
            (told(90, 10, Some(1)), Some(1)),
        ]
        .into_iter()
        .enumerate()
        {
            let before = read(&store, id).await;
            applier.apply(&store, vec![update]).await.expect("applies");
            let row = read(&store, id).await;
            let facts = row.facts.as_ref().map(|told| told.facts.clone());
            assert_eq!(facts, kept.map(pieces), "update {nth}");
            assert!(row.facts == before.facts || row.version > before.version);
        }
    })
    .await;
}
