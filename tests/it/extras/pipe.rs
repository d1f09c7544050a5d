//! In virtual time, against a carrier that tells of some parcels only who names their postal code.

use std::time::Duration;

use trackbox::model::Heard;
use trackbox::model::parcel::Edit;
use trackbox::model::tenant::Tenant;
use trackbox_emulator::scenario::{Parcel, Step};

use super::{shop, tells};
use crate::support::fixture::{code, number, read};
use crate::support::pipe::{Pipe, Setup};
use trackbox::store::creating::{OnExisting, Wish};

/// The postal code of the seeded parcels.
const CODE: &str = "10115";

const MINUTE: Duration = Duration::from_secs(60);

async fn pipe(adapter: &str) -> Pipe {
    Pipe::new(Setup {
        limits: vec![("CDEK", 600)],
        settings: vec![("CARRIERS__CDEK__ADAPTER", adapter.to_owned())],
        ..Setup::default()
    })
    .await
}

/// Makes parcels known that go on for hours.
fn seed(pipe: &Pipe, names: &[&str]) {
    let parcels = names.iter().map(|name| Parcel {
        carrier: "CDEK".to_owned(),
        track_number: (*name).to_owned(),
        step_seconds: 20_000,
        progress_prob: 0.0,
        postal_code: Some(CODE.to_owned()),
        steps: vec![
            Step::new("IN_TRANSIT", "ACCEPTED", "Berlin"),
            Step::new("DELIVERED", "DELIVERED", "Berlin"),
        ],
    });
    pipe.emulator.seed(parcels.collect()).expect("seeds");
}

async fn follow(pipe: &Pipe, tenant: Tenant, name: &str, edit: Edit) -> i64 {
    let wishes = [Wish {
        pair: (code("CDEK"), number(name)),
        edit,
    }];
    let now = pipe.clock.now();
    let current = &pipe.parts.current;
    let made = current.create(tenant, &wishes, OnExisting::Keep, None, now);
    let mut made = made.await.expect("creates").made;
    let made = made.pop().flatten().expect("is there");
    made.expect("is not refused").row.id
}

async fn is_seen(pipe: &Pipe, id: i64) -> bool {
    read(&pipe.parts.store, id).await.heard == Heard::Seen
}

#[tokio::test]
async fn each_parcel_is_asked_for_with_what_its_shop_told() {
    for adapter in ["emulator", "emulator-batch"] {
        let mut pipe = pipe(adapter).await;
        seed(&pipe, &["RIGHT", "WRONG", "NONE"]);
        let ours = Tenant::DEFAULT;
        let right = follow(&pipe, ours, "RIGHT", tells(Some(CODE))).await;
        let wrong = follow(&pipe, ours, "WRONG", tells(Some("99999"))).await;
        let none = follow(&pipe, ours, "NONE", Edit::default()).await;
        pipe.run_for(MINUTE).await;
        assert!(is_seen(&pipe, right).await, "{adapter}");
        assert!(!is_seen(&pipe, wrong).await && !is_seen(&pipe, none).await);
        // It is asked for at once when the shop tells it.
        let now = pipe.clock.now();
        let current = &pipe.parts.current;
        let edited = current.edit(ours, &[none], &tells(Some(CODE)), now).await;
        assert!(edited.expect("edits").due);
        pipe.run_for(Duration::from_secs(5)).await;
        assert!(is_seen(&pipe, none).await, "{adapter}");
    }
}

#[tokio::test]
async fn a_shop_that_tells_something_wrong_delays_no_other() {
    let mut pipe = pipe("emulator").await;
    seed(&pipe, &["FIRST-IS-WRONG", "SECOND-IS-WRONG"]);
    let (ours, theirs) = (Tenant::DEFAULT, shop(&pipe.parts.store).await);
    let a = follow(&pipe, ours, "FIRST-IS-WRONG", tells(Some("99999"))).await;
    let b = follow(&pipe, ours, "SECOND-IS-WRONG", tells(Some(CODE))).await;
    follow(&pipe, theirs, "FIRST-IS-WRONG", tells(Some(CODE))).await;
    follow(&pipe, theirs, "SECOND-IS-WRONG", tells(Some("99999"))).await;
    pipe.run_for(MINUTE * 2).await;
    assert!(is_seen(&pipe, a).await, "the second shop's turn came soon");
    assert!(is_seen(&pipe, b).await);
    assert_eq!(read(&pipe.parts.store, a).await.extras.turn(), 1);
    // From then on each is asked for as if there were one shop: every check is answered.
    for _ in 0..20 {
        pipe.run_for(MINUTE).await;
        for (id, turn) in [(a, 1), (b, 0)] {
            let row = read(&pipe.parts.store, id).await;
            assert_eq!(row.last_ok_at, row.last_checked_at);
            assert_eq!((row.check_fail_count, row.extras.turn()), (0, turn));
        }
    }
    // A shop whose code is right, and that leaves, takes nothing along.
    let now = pipe.clock.now();
    let removed = pipe.parts.current.remove(theirs, &[b], now).await;
    removed.expect("removes");
    pipe.run_for(MINUTE).await;
    assert_eq!(read(&pipe.parts.store, b).await.check_fail_count, 0);
}
