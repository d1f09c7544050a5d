//! The schedule of a parcel, and the budget of an account.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{Clock, Time};
use crate::clock::{hour_of, minute_of};
use crate::config::Policy;
use crate::http::tests::Api;
use crate::model::fixture::{at, unspread};
use crate::model::tenant::Tenant;
use crate::plan::price::Price;
use crate::plan::quota::Shares;
use crate::store::account_plans::AccountPlan;
use crate::store::counts::{CallCounts, CallErrors};

const HOUR: i64 = 3_600;

/// An API whose CDEK is learned, with 60 calls a minute.
async fn learned() -> Api {
    Api::with(|config| {
        if let Some(section) = config.carriers.get_mut("CDEK") {
            section.policy = Some(Policy::Learned);
        }
    })
    .await
}

/// A check of the tracking at `secs` that shows events (status, seconds).
fn check(id: &str, secs: i64, events: &[(&str, i64)], next: i64) -> Value {
    let (status, status_at) = events.last().copied().expect("an event");
    let list: Vec<Value> = events
        .iter()
        .map(|(status, secs)| {
            json!({"status": status, "status_raw": status, "event_time": at(*secs), "location": "Moscow"})
        })
        .collect();
    json!({
        "tracking_id": id.parse::<i64>().expect("a number"), "checked_at": at(secs), "check_id": Uuid::now_v7(), "status": status, "status_raw": status,
        "status_at": at(status_at), "next_check_at": at(next), "events": list, "check_fail_count": 0,
    })
}

async fn price(api: &Api, parcels: i64, now: Time) {
    let pricing = AccountPlan {
        account: "CDEK".to_owned(),
        price: Price {
            whole: 0.25,
            by_hour: std::array::from_fn(|hour| if hour < 6 { 0.5 } else { 1.0 }),
            by_day: [1.0, 0.6, 0.4],
            round: 3.0,
        },
        shares: Shares::default(),
        shares_day: 0,
        held_until: None,
        failing: 0,
        unanswered_since: None,
        made_by: String::new(),
        parcels,
        counted_at: now,
        adjusted_at: now,
        refitted_at: now,
    };
    let store = &api.serve.store;
    let member = Uuid::now_v7();
    store
        .lead(&pricing, member, now, TimeDelta::seconds(60))
        .await
        .expect("leads");
    store
        .set_account_plan(&pricing, member, None)
        .await
        .expect("writes");
}

fn advance(api: &Api, secs: i64) {
    let clock: &Clock = &api.serve.clock;
    clock.advance(std::time::Duration::from_secs(secs.unsigned_abs()));
}

async fn schedule(api: &Api, id: &str) -> Value {
    api.get(&format!("/trackings/{id}/schedule")).await.ok()
}

#[tokio::test]
async fn a_schedule_says_why_at_every_stage_of_a_parcels_life() {
    let api = learned().await;
    let id = api.create("CDEK", "A").await;
    let body = schedule(&api, &id).await;
    assert_eq!(
        (&body["reason"], &body["expectation"]),
        (&json!("DUE"), &Value::Null)
    );
    assert!(
        body["text"]
            .as_str()
            .expect("a text")
            .contains("waits for a call"),
        "{body}"
    );

    price(&api, 10_800, at(0)).await;
    api.apply(
        1,
        &[check(&id, 0, &[("IN_TRANSIT", -HOUR)], 4 * HOUR)],
        Vec::new(),
    )
    .await;
    advance(&api, HOUR);
    let body = schedule(&api, &id).await;
    assert_eq!(body["reason"], "LEARNED");
    assert_eq!(body["nextCheckAt"], json!(at(4 * HOUR)));
    assert_eq!(
        (&body["account"], &body["policy"]),
        (&json!("CDEK"), &json!("learned"))
    );
    let it = &body["expectation"];
    assert_eq!(
        (&it["code"], &it["hour"]),
        (&json!("IN_TRANSIT"), &json!(13))
    );
    assert_eq!(it["ageHours"].as_f64(), Some(2.0));
    assert_eq!(it["price"].as_f64(), Some(0.25));
    assert_eq!(it["longestWaitHours"].as_f64(), Some(24.0));
    // Before anything is learned: one event a day, of weight 1.5, 1.6 times as likely at noon.
    let unseen = it["unseen"].as_f64().expect("a number");
    assert!((unseen - 1.5 * 1.6 / 24.0).abs() < 0.01, "{unseen}");
    let cost = it["cost"].as_f64().expect("a number");
    assert!((cost - unseen / 2.0).abs() < 0.01, "{cost}");
    let text = body["text"].as_str().expect("a text");
    assert!(
        text.contains("was 2.0 h ago") && text.contains("In 3.0 h waiting will have cost"),
        "{text}"
    );

    let far = check(&id, 60, &[("IN_TRANSIT", -HOUR)], 24 * HOUR);
    api.apply(2, &[far], Vec::new()).await;
    assert_eq!(schedule(&api, &id).await["reason"], "LONGEST_WAIT");

    let failed = json!({
        "tracking_id": id.parse::<i64>().expect("a number"), "checked_at": at(120), "check_id": Uuid::now_v7(), "next_check_at": at(2 * HOUR),
        "check_fail_count": 2, "error": "the carrier answered 502",
    });
    api.apply(3, &[failed], Vec::new()).await;
    let body = schedule(&api, &id).await;
    assert_eq!(
        (&body["reason"], &body["failures"]),
        (&json!("BACK_OFF"), &json!(2))
    );
    assert!(
        body["text"]
            .as_str()
            .expect("a text")
            .contains("the carrier answered 502"),
        "{body}"
    );

    api.post(&format!("/trackings/{id}/refresh"), &json!({}))
        .await
        .ok();
    assert_eq!(schedule(&api, &id).await["reason"], "REFRESHED");

    let store = &api.serve.store;
    store
        .pause("CDEK", at(2 * HOUR), "the carrier answered 429", at(0))
        .await
        .expect("pauses");
    let body = schedule(&api, &id).await;
    assert_eq!(
        (&body["reason"], &body["pausedUntil"]),
        (&json!("PAUSED"), &json!(at(2 * HOUR)))
    );

    advance(&api, 2 * HOUR);
    let done = check(
        &id,
        2 * HOUR,
        &[("IN_TRANSIT", -HOUR), ("DELIVERED", HOUR)],
        3 * HOUR,
    );
    api.apply(4, &[done], Vec::new()).await;
    let body = schedule(&api, &id).await;
    assert_eq!(
        (&body["reason"], &body["expectation"]),
        (&json!("DONE"), &Value::Null)
    );
    assert_eq!(body["text"], "It is DELIVERED: nothing more is expected.");

    let missing = api.get("/trackings/999/schedule").await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn a_schedule_knows_other_policies_a_spent_day_and_unrouted_parcels() {
    let api = Api::with(|config| {
        if let Some(section) = config.carriers.get_mut("CDEK") {
            section.per_day = 10;
        }
        if let Some(section) = config.carriers.get_mut("POST_RU") {
            section.policy = Some(Policy::Table);
        }
        config.carriers.remove("*");
    })
    .await;
    let (cdek, post) = (
        api.create("CDEK", "A").await,
        api.create("POST_RU", "B").await,
    );
    api.apply(1, &[check(&cdek, 0, &[("IN_TRANSIT", -9)], 60)], Vec::new())
        .await;
    api.apply(2, &[check(&post, 0, &[("IN_TRANSIT", -9)], 60)], Vec::new())
        .await;
    assert_eq!(schedule(&api, &cdek).await["reason"], "CADENCE");
    assert_eq!(schedule(&api, &post).await["reason"], "TABLE");
    assert_eq!(schedule(&api, &cdek).await["leftToday"], 10);
    advance(&api, 90);
    let store = &api.serve.store;
    store
        .take_calls("CDEK", 10, &unspread(10), &Shares::even(), at(90))
        .await
        .expect("takes");
    let body = schedule(&api, &cdek).await;
    assert_eq!(
        (&body["reason"], &body["leftToday"]),
        (&json!("QUOTA_SPENT"), &json!(0))
    );
    let unrouted = api
        .serve
        .current
        .create_or_get(
            Tenant::DEFAULT,
            &[(
                crate::model::CarrierCode::parse("GONE").expect("a code"),
                crate::model::TrackNumber::parse("C").expect("a number"),
            )],
            at(90),
        )
        .await
        .expect("creates");
    let body = schedule(&api, &unrouted[0].id.to_string()).await;
    assert_eq!(
        (&body["reason"], &body["account"]),
        (&json!("UNROUTED"), &Value::Null)
    );
}

#[tokio::test]
async fn a_budget_shows_what_calls_are_spent_on_and_what_more_would_gain() {
    let api = learned().await;
    let body = api.get("/carriers/CDEK/budget").await.ok();
    assert_eq!(
        (&body["parcels"], &body["price"], &body["policy"]),
        (&json!(0), &Value::Null, &json!("learned"))
    );
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(api.create("CDEK", &format!("N{n}")).await);
    }
    price(&api, 50, at(0)).await;
    // A day of checks: half of them are out for delivery for some hours and have news; the others are in transit.
    let mut checks = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let status = if place % 2 == 0 {
            "OUT_FOR_DELIVERY"
        } else {
            "IN_TRANSIT"
        };
        checks.push(check(id, 0, &[(status, -HOUR)], HOUR));
    }
    api.apply(1, &checks, Vec::new()).await;
    let mut checks = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let events = if place % 2 == 0 {
            vec![("OUT_FOR_DELIVERY", -HOUR), ("ATTEMPT_FAILED", 20 * HOUR)]
        } else {
            vec![("IN_TRANSIT", -HOUR)]
        };
        checks.push(check(id, 26 * HOUR, &events, 27 * HOUR));
    }
    advance(&api, 26 * HOUR);
    api.apply(2, &checks, Vec::new()).await;
    let store = &api.serve.store;
    let counts = |calls: i64| CallCounts {
        calls,
        numbers: calls,
        claimed: 2,
        late: 0.5,
        ..CallCounts::default()
    };
    let minute = |secs| (minute_of(at(26 * HOUR + secs)), "CDEK".to_owned());
    let minutes = [
        (minute(-620), counts(7)),
        (minute(-100), counts(4)),
        (minute(-40), counts(33)),
    ];
    store.add_calls(&minutes).await.expect("counts");
    let errors = CallErrors {
        kind: "timeout".to_owned(),
        count: 2,
        words: "too slow".to_owned(),
        last_at: at(26 * HOUR - 30),
    };
    let hour = (hour_of(errors.last_at), "CDEK".to_owned());
    store.add_errors(&[(hour, errors)]).await.expect("counts");
    // The API reads again only after a worker has fitted again.
    let mut refitted = api
        .serve
        .store
        .account_plan("CDEK")
        .await
        .expect("reads")
        .expect("has one");
    refitted.refitted_at = at(26 * HOUR);
    let member = Uuid::now_v7();
    store
        .lead(&refitted, member, at(26 * HOUR), TimeDelta::seconds(60))
        .await
        .expect("leads");
    store
        .set_account_plan(&refitted, member, None)
        .await
        .expect("writes");
    let body = api.get("/carriers/CDEK/budget").await.ok();
    assert_eq!(
        (&body["account"], &body["parcels"]),
        (&json!("CDEK"), &json!(50))
    );
    assert_eq!(body["usedLastMinute"], 33);
    let shown: Vec<_> = body["lastDay"].as_array().expect("a list").iter().collect();
    let of = |name: &str| shown.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("calls"), [7, 37]);
    assert_eq!(of("from")[1], json!(at(26 * HOUR - 600)));
    assert_eq!(of("lateMinutes"), [15.0, 15.0]);
    let error = &body["errors"][0];
    assert_eq!(
        (&error["kind"], &error["count"]),
        (&json!("timeout"), &json!(2))
    );
    assert_eq!(error["hour"], json!(at(25 * HOUR)));
    assert_eq!(body["price"]["byHour"][3].as_f64(), Some(0.125));
    assert_eq!(body["price"]["now"].as_f64(), Some(0.15), "on a Saturday");
    let staleness = &body["staleness"];
    let of = |name: &str| {
        staleness[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {body}"))
    };
    // 60 calls in 62 s, the limiter's margins included: 50 parcels take 51.7 s, half of it on average. No planned wait is shorter than one step of the forecast.
    assert!((of("fixedMinutes") - 0.431).abs() < 0.001, "{body}");
    assert!(
        of("learnedMinutes") >= of("learnedMinutesIfDoubled"),
        "{body}"
    );
    assert!(
        body["text"]
            .as_str()
            .expect("a text")
            .starts_with("50 parcels"),
        "{body}"
    );
    assert_eq!(body["callsByHour"], Value::Null);

    let other = api.get("/carriers/OTHER/budget").await.ok();
    assert_eq!(other["account"], "*");
    let control = api.get("/carriers/%0A/budget").await;
    assert_eq!(control.status, 422);
}

#[tokio::test]
async fn a_days_calls_are_shown_by_hour_and_a_missing_limit_is_said() {
    let api = Api::with(|config| {
        if let Some(section) = config.carriers.get_mut("CDEK") {
            section.policy = Some(Policy::Learned);
            section.per_day = 240;
        }
        if let Some(section) = config.carriers.get_mut("POST_RU") {
            section.per_minute = Some(0);
        }
        config.carriers.remove("*");
    })
    .await;
    let body = api.get("/carriers/CDEK/budget").await.ok();
    let by_hour: f64 = body["callsByHour"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_f64)
        .sum();
    assert!((by_hour - 240.0).abs() < 0.1, "{by_hour}");
    let body = api.get("/carriers/POST_RU/budget").await.ok();
    assert_eq!(
        (&body["roundHours"], &body["staleness"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(body["text"], "0 parcels, and no limit on the calls.");
    assert_eq!(api.get("/carriers/GONE/budget").await.status, 404);
}
