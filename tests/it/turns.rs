//! What every store promises of turns.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use trackbox::model::tenant::{Payer, Tenant};
use trackbox::store::turns::Turn;

use crate::support::fixture::{TestStore, on_every_store};

fn payer(id: i32) -> Payer {
    Tenant::from_row(id).payer()
}

#[tokio::test]
async fn what_several_workers_give_a_payer_adds_up_and_it_is_raised_once() {
    on_every_store(async |test: TestStore| {
        let store = test.store.store();
        assert_eq!(store.turns("both").await.expect("reads"), BTreeMap::new());
        // Ten workers that read the same counts: the first payer was far behind, the second one led.
        let turn = |id, from, more| Turn {
            payer: payer(id),
            from,
            more,
        };
        let first = [turn(2, 5_000, 1), turn(1, 0, 7)];
        store.take_turns("both", &first).await.expect("counts");
        let workers = (0..10).map(|_| async {
            let turns = [turn(2, 5_000, 3), turn(1, 4_000, 2)];
            store.take_turns("both", &turns).await.expect("counts");
        });
        join_all(workers).await;
        let expected = BTreeMap::from([(payer(1), 4_020), (payer(2), 5_031)]);
        assert_eq!(store.turns("both").await.expect("reads"), expected);
        assert_eq!(
            store.turns("another").await.expect("reads"),
            BTreeMap::new()
        );
    })
    .await;
}

#[test]
fn every_tenant_is_a_payer() {
    let slots = [1, 2, 32_768, 32_769, i32::MAX, i32::MIN].map(|id| payer(id).slot());
    assert_eq!(slots, [0, 1, 32_767, 0, 32_766, 32_767]);
    assert_eq!(Tenant::DEFAULT.payer(), Payer::DEFAULT);
}
