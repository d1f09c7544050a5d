//! What is not believed makes a parcel due, and its check decides.

use std::time::Duration;

use serde_json::json;

use super::{body, configured, status};
use crate::http::tests::{Api, seen};
use crate::metrics::PushOutcome;
use crate::model::fixture::at;
use crate::model::tenant::Payer;
use crate::store::claims::{Claim, Early, Share, Take};

#[tokio::test]
async fn what_nothing_signs_makes_a_parcel_due_once_in_ten_minutes_and_not_urgent() {
    let api = Api::with(configured).await;
    let id = api.create("CDEK", "10001").await;
    let told = seen(&id, 1);
    api.apply(0, &[told], Vec::new()).await;
    assert_eq!(api.row(&id).await.next_check_at, at(60));
    api.later(5);
    let answer = api.push_unsigned(&status("10001", "DELIVERED", 4)).await;
    assert_eq!(answer.ok(), json!({"parcels": 1}));
    let hinted = api.row(&id).await;
    assert_eq!(
        (hinted.next_check_at, hinted.hinted_at),
        (at(5), Some(at(5)))
    );
    assert_eq!(
        (hinted.urgent, hinted.status.as_str()),
        (false, "IN_TRANSIT")
    );
    // A check that was sent before takes nothing of it; a later one does.
    let checked = |secs: i64| {
        let mut told = seen(&id, 1);
        told["checked_at"] = json!(at(secs));
        told["check_id"] = json!(uuid::Uuid::from_u128(secs.unsigned_abs().into()));
        told["next_check_at"] = json!(at(secs + 3_600));
        told
    };
    api.apply(0, &[checked(4)], Vec::new()).await;
    assert_eq!(api.row(&id).await.next_check_at, at(5));
    api.apply(0, &[checked(6)], Vec::new()).await;
    assert_eq!(api.row(&id).await.next_check_at, at(3_606));
    for (secs, due) in [(590, at(3_606)), (10, at(605))] {
        api.later(secs);
        api.push_unsigned(&status("10001", "DELIVERED", 7))
            .await
            .ok();
        assert_eq!(api.row(&id).await.next_check_at, due, "after {secs} s");
    }
    assert!(api.published().await.is_empty());
}

#[tokio::test]
async fn a_hint_about_what_is_known_costs_no_call_and_one_about_a_parcel_that_ended_does() {
    let api = Api::with(configured).await;
    let id = api.create("CDEK", "10001").await;
    let mut told = seen(&id, 1);
    told["events"][0]["status"] = json!("DELIVERED");
    told["events"][0]["event_time"] = json!(at(-100));
    told["events"][0]["status_raw"] = json!("DELIVERED");
    told["derived"] = json!(true);
    api.apply(0, &[told], Vec::new()).await;
    let ended = api.row(&id).await;
    assert!(!ended.active);
    for secs in [-100, -200] {
        api.push_unsigned(&status("10001", "DELIVERED", secs))
            .await
            .ok();
    }
    assert_eq!(api.row(&id).await, ended);
    assert_eq!(api.counted("CDEK", PushOutcome::Known), 2);
    api.push_unsigned(&status("10001", "SENT_TO_SENDER_CITY", -50))
        .await
        .ok();
    let due = api.row(&id).await;
    assert!(due.active && due.looks_again && due.next_check_at == at(0));
    let claim = Claim {
        shares: &[Share {
            carrier_code: due.carrier_code.clone(),
            payer: Payer::DEFAULT,
            most: 1,
            unanswered_max: 1,
        }],
        limit: 1,
        take: Take::Due { early: Early::None },
    };
    let lease = Duration::from_secs(60);
    let claimed = api
        .serve
        .store
        .claim(claim, at(1), lease)
        .await
        .expect("claims");
    assert_eq!(claimed.trackings.len(), 1);
}

#[tokio::test]
async fn a_body_whose_events_cannot_be_read_makes_its_parcel_due() {
    let api = Api::with(configured).await;
    let id = api.create("POST_RU", "A1").await;
    let mut unreadable = body("A1", "DELIVERED", 1);
    unreadable["events"][0]["event_time"] = json!("yesterday");
    api.push_signed(&unreadable).await.ok();
    assert_eq!(api.row(&id).await.hinted_at, Some(at(0)));
    assert!(api.published().await.is_empty());
}

#[tokio::test]
async fn a_history_from_long_before_the_tracking_is_for_the_check_to_judge() {
    let api = Api::with(|config| {
        configured(config);
        config.work.old_history = "90d".parse().expect("a span");
    })
    .await;
    let id = api.create("POST_RU", "A1").await;
    api.push_signed(&body("A1", "DELIVERED", -100 * 86_400))
        .await
        .ok();
    assert_eq!(api.row(&id).await.hinted_at, Some(at(0)));
    assert!(api.published().await.is_empty());
}
