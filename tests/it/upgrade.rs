//! What the version before wrote is read by this one, and the other way round: both run side by side during an upgrade.
//!
//! The files in `tests/wire/` were written by a released version and stay as they are. A field that is renamed or gets
//! another meaning fails here; a new field needs a file of its own.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use fred::clients::Client;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Builder;
use fred::types::config::Config;
use trackbox::cache::known::Known;
use trackbox::cache::redis::Redis;
use trackbox::cache::redis::values::RedisCache;
use trackbox::clock::Time;
use trackbox::kafka::message::{Checked, decode, encode};
use trackbox::model::extra::{Extra, Extras};
use trackbox::model::facts::{Expected, Facts, NumberKind, Related, Told};
use trackbox::model::owned::Owned;
use trackbox::model::parcel::{Parcel, State, Words};
use trackbox::model::shown::Shown;
use trackbox::model::status::{Direction, Status, SubStatus};
use trackbox::model::tenant::Tenant;
use trackbox::model::{
    Event, Heard, Held, Named, Outcome, Report, Source, Tracking, Unreadable, Update,
};
use uuid::Uuid;

use crate::support::engines::server;
use crate::support::fixture::{code, number};
use crate::support::time::at;
use crate::support::wire::{assert_keeps, recorded};

/// A time with a fraction, so that precision counts.
fn precise(secs: i64) -> Time {
    at(secs) + TimeDelta::microseconds(123_456)
}

fn checked(outcome: Outcome, check_fail_count: u32) -> Checked {
    let update = Update {
        tracking_id: 42,
        named: Named::default(),
        checked_at: precise(5),
        check_id: Uuid::from_u128(0x0193_4a5b_6c7d_7e8f_9a0b_1c2d_3e4f_5061),
        outcome,
        next_check_at: precise(900),
        check_fail_count: Some(check_fail_count),
        place: 0,
        held: Held::Whole,
        unreadable: Unreadable::default(),
        facts: None,
        looks_again: false,
        extra_turn: 0,
    };
    Checked {
        update,
        adapter: "track24",
        mapping_version: 3,
        source: Source::Poll,
    }
}

fn seen() -> Outcome {
    let sorted = Event {
        status: Status::InTransit,
        sub_status: Some(SubStatus::InTransitSorted),
        status_raw: "Сортировка".to_owned(),
        event_time: precise(-60),
        location: "Омск".to_owned(),
        message: "644000, Омск Почтамт".to_owned(),
        payload_json: r#"{"id":7,"operation":"sorted"}"#.to_owned(),
        mapping_version: 3,
        order_at: None,
        taken_back: false,
        own: None,
        stated: false,
    };
    let unmapped = Event {
        status: Status::Unknown,
        sub_status: None,
        status_raw: "Прочее".to_owned(),
        event_time: at(-3_600),
        location: String::new(),
        message: String::new(),
        payload_json: String::new(),
        mapping_version: 3,
        order_at: None,
        taken_back: false,
        own: None,
        stated: false,
    };
    // Nothing here follows from something else: a reader that misses a field cannot make it up.
    let report = Report {
        status: Status::Returning,
        sub_status: Some(SubStatus::ReturningRefused),
        direction: Direction::Return,
        status_raw: "Возврат".to_owned(),
        status_at: Some(precise(-30)),
        last_event_code: Some("RETURNING_REFUSED".to_owned()),
        last_event_at: Some(precise(-20)),
    };
    Outcome::Seen {
        report,
        events: vec![sorted, unmapped],
    }
}

fn expired() -> Outcome {
    let report = Report {
        status: Status::Expired,
        sub_status: Some(SubStatus::ExpiredNoNews),
        direction: Direction::Forward,
        status_raw: "EXPIRED".to_owned(),
        status_at: Some(precise(5)),
        last_event_code: Some("IN_TRANSIT_SORTED".to_owned()),
        last_event_at: Some(at(-30 * 86_400)),
    };
    Outcome::Seen {
        report,
        events: Vec::new(),
    }
}

/// The recorded messages, each with the check that it was written for.
fn messages() -> [(&'static str, Checked); 5] {
    let failed = Outcome::Failed {
        error: "the carrier answered 502".to_owned(),
    };
    let mut named = checked(Outcome::NotFoundYet, 0);
    named.update.named = Named::of(&tracking());
    [
        ("tracking.updated/named.json", named),
        ("tracking.updated/seen.json", checked(seen(), 0)),
        (
            "tracking.updated/not_found.json",
            checked(Outcome::NotFoundYet, 0),
        ),
        ("tracking.updated/failed.json", checked(failed, 3)),
        ("tracking.updated/expired.json", checked(expired(), 0)),
    ]
}

#[test]
fn a_message_of_the_version_before_is_read_to_the_same_update() {
    for (file, checked) in messages() {
        let value = recorded(file).to_string();
        let mut read = decode(Some(value.as_bytes()), at(50), at(60)).expect(file);
        if let Outcome::Seen { report, events } = &mut read.outcome
            && report.status == Status::Returning
        {
            // It gave a status that follows from none of its events, so that is kept beside them.
            let stated = events.pop().expect("has it");
            assert!(
                stated.stated && stated.status == report.status,
                "{stated:?}"
            );
            assert_eq!(Some(stated.event_time), report.status_at);
        }
        assert_eq!(read, checked.update, "{file}");
    }
}

/// A check whose status follows from its events, one of which the carrier took back.
fn derived() -> Checked {
    let Outcome::Seen { report, mut events } = seen() else {
        panic!("was seen");
    };
    events[0].own = Some((Status::InTransit, None));
    events[0].order_at = Some(precise(-59));
    events[0].taken_back = true;
    let mut checked = checked(Outcome::Seen { report, events }, 0);
    checked.update.unreadable = Unreadable {
        count: 2,
        example: "the time is \"soon\"".to_owned(),
    };
    checked.update.looks_again = true;
    checked
}

#[test]
fn a_message_keeps_what_its_history_is_decided_by() {
    let file = "tracking.updated/history.json";
    let value = recorded(file);
    let read = decode(Some(value.to_string().as_bytes()), at(50), at(60)).expect(file);
    assert_eq!(read, derived().update);
    let written = serde_json::from_slice(&encode(&derived())[0].value).expect("is JSON");
    assert_keeps(&value, &written, file);
}

#[test]
fn the_version_before_finds_all_its_fields_in_our_messages() {
    for (file, checked) in messages() {
        let written = encode(&checked);
        assert_eq!(written.len(), 1, "{file}");
        assert_eq!(written[0].key, b"42", "{file}");
        let value = serde_json::from_slice(&written[0].value).expect("is JSON");
        assert_keeps(&recorded(file), &value, file);
    }
}

fn facts() -> Facts {
    let number = Related::of(NumberKind::Return, "N43");
    Facts {
        expected_from: Expected::parse("2026-11-24"),
        expected_to: Expected::parse("2026-11-24T15:00:00.123456Z"),
        signed_by: Some("Иванов".to_owned()),
        pieces: Some(2),
        service: Some("express".to_owned()),
        origin: Some("Москва".to_owned()),
        destination: Some("Омск".to_owned()),
        numbers: number.into_iter().collect(),
    }
}

/// The tracking in `cache/shown.2`, and in `cache/shown.1` and `cache/tracking.json` of the formats before; with a value in each
/// field.
fn tracking() -> Tracking {
    Tracking {
        id: 42,
        carrier_code: code("CDEK"),
        track_number: number("N42"),
        status: Status::Returning,
        sub_status: Some(SubStatus::ReturningRefused),
        direction: Direction::Return,
        status_raw: "Возврат".to_owned(),
        status_at: Some(precise(-30)),
        stage: Status::Unknown,
        first_event_at: None,
        heard: Heard::Seen,
        status_checked_at: Some(precise(5)),
        status_check_id: Some(Uuid::from_u128(1)),
        last_event_code: Some("RETURNING_REFUSED".to_owned()),
        last_event_at: Some(precise(-20)),
        last_ok_at: Some(precise(6)),
        last_checked_at: Some(precise(7)),
        last_check_id: Some(Uuid::from_u128(2)),
        next_check_at: precise(900),
        check_fail_count: 3,
        last_error: "the carrier answered 502".to_owned(),
        unreadable: Unreadable::default(),
        urgent: true,
        refreshed_at: Some(precise(8)),
        hinted_at: None,
        facts: Some(Box::new(Told {
            facts: facts(),
            checked_at: precise(5),
            check_id: Uuid::from_u128(1),
        })),
        looks_again: false,
        active: true,
        lease_until: Some(precise(120)),
        lease_id: Some(Uuid::from_u128(3)),
        journey: 2,
        change_seq: 6,
        changed_at: Some(precise(-30)),
        extras: Extras::default(),
        wanted: true,
        owners: 1,
        version: 17,
        created_at: precise(-86_400),
        updated_at: precise(9),
    }
}

#[tokio::test]
async fn a_value_in_redis_is_the_recorded_one_and_one_of_another_format_is_a_miss() {
    let url = server("TRACKBOX_TEST_REDIS");
    let prefix = format!("test:{}:", Uuid::now_v7().simple());
    let redis = Redis::connect(&url, None, &prefix).await.expect("connects");
    let cache = RedisCache::new(Arc::new(redis), Duration::from_secs(600));
    let direct: Client = Builder::from_config(Config::from_url(&url).expect("is an address"))
        .build()
        .expect("is set up");
    direct.init().await.expect("connects");

    let (_, ticket) = cache.get(&[]).await;
    let shown = Shown::of(&tracking());
    let parcel = Parcel {
        tenant: Tenant::DEFAULT,
        tracking_id: 42,
        state: State::Stopped,
        words: Words {
            order_id: Some("A-17".to_owned()),
            labels: vec!["express".to_owned()],
            ..Words::default()
        },
        extra: Extra::default(),
        created_at: precise(-86_400),
    };
    let owned = Owned::of(42, 3, [&parcel]);
    cache.put(std::slice::from_ref(&shown), &ticket).await;
    cache.put(std::slice::from_ref(&owned), &ticket).await;
    let key = format!("{prefix}owned:42");
    let written: String = direct.get(&key).await.expect("is there");
    let body = written.split_once("|3|").expect("has a head").1;
    let body = body.split_once('|').expect("has a head").1;
    assert_eq!(body, include_str!("../wire/cache/owned.3").trim_end());
    let key = format!("{prefix}tracking:42");
    let written: String = direct.get(&key).await.expect("is there");
    // The head holds the epoch of the tests' Redis.
    let (head, body) = written.split_at(written.rfind('|').expect("has a head") + 1);
    assert_eq!(body, include_str!("../wire/cache/shown.3").trim_end());

    let first = include_str!("../wire/cache/shown.1").trim_end().to_owned();
    let second = include_str!("../wire/cache/shown.2").trim_end().to_owned();
    for before in [recorded("cache/tracking.json").to_string(), first, second] {
        let value = format!("{head}{before}");
        let set: Result<(), _> = direct.set(&key, value, None, None, false).await;
        set.expect("sets");
        assert_eq!(cache.get(&[42]).await.0, [None]);
    }
    // It keeps the same version out no longer than it takes to read the store.
    cache.put(std::slice::from_ref(&shown), &ticket).await;
    assert_eq!(cache.get(&[42]).await.0, [Some(Known { shown, owned })]);
}
