//! In virtual time: a failure of a number, of a call and of the account are three things, and each costs only its own.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use sea_orm::{ConnectionTrait as _, Database};
use serde_json::Value;
use tower::ServiceExt as _;
use trackbox::app;
use trackbox::clock::Clock;
use trackbox::config::Preset;
use trackbox::model::status::Status;
use trackbox::scheduler::pauses::{Pace, Pauses, Told};
use trackbox::serving::flood::FloodGuard;
use trackbox::serving::health::ReadyChecks;
use trackbox::store::failures::Failures;
use trackbox_emulator::faults::{Fault, Rule};

use crate::support::fixture::{TestStore, on_every_store, read, read_all, sqlite};
use crate::support::pipe::{Pipe, Setup};
use crate::support::time::at;

/// CDEK answers these numbers, or all, with an error in its own form.
fn complain(pipe: &Pipe, number: Option<&str>, code: u16, words: &str) {
    let rule = Rule {
        carrier: "CDEK".to_owned(),
        track_number: number.map(str::to_owned),
        share: 1.0,
        // So many that what is left of them tells how many calls it befell.
        calls: Some(1_000_000),
        fault: Fault::Complaint {
            code,
            words: words.to_owned(),
        },
    };
    pipe.emulator.set_fault("CDEK", Some(rule));
}

/// Answers a request to the API.
async fn api(pipe: &Pipe, method: Method, path: &str) -> Value {
    let parts = &pipe.parts;
    let flood = FloodGuard::new(&parts.config.http);
    let router: Router = (app::serve::ROLE.router)(parts, ReadyChecks::default(), flood);
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("answers");
    assert_eq!(response.status(), 200, "{path}");
    let body = to_bytes(response.into_body(), 1 << 20).await;
    serde_json::from_slice(&body.expect("a body")).expect("is JSON")
}

/// How `GET /carriers` shows CDEK's account.
async fn shown(pipe: &Pipe) -> Value {
    let body = api(pipe, Method::GET, "/carriers").await;
    let mut carriers = body["carriers"].as_array().expect("a list").iter();
    let cdek = carriers.find(|carrier| carrier["account"] == "CDEK");
    cdek.expect("is listed").clone()
}

#[tokio::test]
async fn thirty_refused_numbers_do_not_keep_a_good_one_waiting() {
    let mut pipe = Pipe::new(Setup::default()).await;
    for n in 0..30 {
        let number = format!("CDEK{n}");
        complain(&pipe, Some(&number), 400, &format!("{number} is malformed"));
    }
    let rows = pipe.create("CDEK", 31).await;
    pipe.run_for(Duration::from_secs(8)).await;
    let suspicion = shown(&pipe).await["suspicion"].clone();
    pipe.run_for(Duration::from_secs(12)).await;
    let good = read(&pipe.parts.store, rows[30].id).await;
    assert!(good.last_ok_at.is_some(), "is answered");
    assert_eq!(suspicion, "the carrier answered 400: … is malformed");
    let bad = read(&pipe.parts.store, rows[0].id).await;
    assert!(bad.check_fail_count >= 1);
    assert_eq!(
        bad.last_error,
        "the carrier answered 400: CDEK0 is malformed"
    );
}

#[tokio::test]
async fn a_used_up_quota_pauses_the_account_and_is_shown_and_lifted() {
    let mut pipe = Pipe::new(Setup {
        workers: 2,
        ..Setup::default()
    })
    .await;
    complain(&pipe, None, 200, "quota used up");
    let rows = pipe.create_slow("CDEK", 40).await;
    pipe.run_for(Duration::from_secs(30)).await;
    let first = pipe.calls("CDEK");
    assert!((1..=15).contains(&first), "{first} calls");
    let account = shown(&pipe).await;
    assert!(account["pausedUntil"].is_string(), "{account}");
    let reason = "the carrier says that our calls are used up: quota used up";
    assert_eq!(account["pauseReason"], reason);
    let row = read(&pipe.parts.store, rows[0].id).await;
    assert_eq!((row.check_fail_count, row.last_error.as_str()), (0, ""));
    // One call after each pause of 1, 2, 4, 8 and 16 minutes.
    pipe.run_for(Duration::from_secs(40 * 60)).await;
    let later = pipe.calls("CDEK") - first;
    assert!((3..=8).contains(&later), "{later} further calls");
    pipe.emulator.set_fault("CDEK", None);
    api(&pipe, Method::DELETE, "/carriers/CDEK/pause").await;
    pipe.run_for(Duration::from_secs(30)).await;
    assert_eq!(shown(&pipe).await["pausedUntil"], Value::Null);
    let row = read(&pipe.parts.store, rows[39].id).await;
    assert!(row.last_ok_at.is_some(), "is checked again");
}

#[tokio::test]
async fn words_about_the_account_make_no_parcel_pending_and_are_shown_at_once() {
    for words in [
        "apiKey not found",
        "Домен не найден",
        "Нет данных об оплате тарифа",
        "no Route matched",
    ] {
        for code in [200, 404] {
            let mut pipe = Pipe::new(Setup::default()).await;
            complain(&pipe, None, code, words);
            let rows = pipe.create_slow("CDEK", 20).await;
            pipe.run_for(Duration::from_secs(10)).await;
            let account = shown(&pipe).await;
            assert!(account["pausedUntil"].is_string(), "{account}");
            let reason = account["pauseReason"].as_str().unwrap_or_default();
            assert!(reason.ends_with(words), "{code}: {reason}");
            for row in rows {
                let row = read(&pipe.parts.store, row.id).await;
                assert_eq!(row.status, Status::Unknown, "{code}: {words}");
            }
        }
    }
}

#[tokio::test]
async fn one_number_that_spoils_its_call_leaves_the_others_theirs() {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 60)],
        settings: vec![("CARRIERS__CDEK__ADAPTER", "emulator-batch".to_owned())],
        cadence: Preset::Normal,
        ..Setup::default()
    })
    .await;
    complain(&pipe, Some("CDEK17"), 400, "a number is malformed");
    let rows = pipe.create_slow("CDEK", 30).await;
    let mut first_calls = 0;
    for _ in 0..50 {
        pipe.run_for(Duration::from_secs(1)).await;
        let rows = read_all(&pipe.parts.store, &rows).await;
        let answered = rows.iter().filter(|row| row.last_ok_at.is_some());
        let failed = rows.iter().filter(|row| row.check_fail_count > 0).count();
        assert!(failed <= 1, "{failed} failed");
        if answered.count() == 29 && failed == 1 {
            first_calls = pipe.calls("CDEK");
            break;
        }
    }
    assert!((1..=12).contains(&first_calls), "{first_calls} calls");
    // The culprit stays alone from then on.
    let bad = read(&pipe.parts.store, rows[17].id).await;
    assert_eq!(bad.check_fail_count, 1);
    pipe.run_for(Duration::from_secs(310)).await;
    let spoiled = pipe.emulator.ledger().carriers["CDEK"].failed;
    assert!(spoiled <= 7, "{spoiled} calls were spoiled");
}

/// 300 parcels for a day at two calls a minute, 15 of which always fail.
async fn share_of_failing(policy: &str) {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 2)],
        settings: vec![
            ("WORK__POLICY", policy.to_owned()),
            ("WORK__POLL_INTERVAL", "30s".to_owned()),
        ],
        cadence: Preset::Normal,
        ..Setup::default()
    })
    .await;
    for n in 0..15 {
        complain(&pipe, Some(&format!("CDEK{}", n * 20)), 400, "malformed");
    }
    pipe.create_slow("CDEK", 300).await;
    for _ in 0..24 * 12 {
        pipe.parts.pricer.tick().await.expect("counts the parcels");
        pipe.run_for(Duration::from_secs(300)).await;
    }
    let failed: u64 = pipe
        .emulator
        .faults()
        .iter()
        .filter_map(|rule| Some(1_000_000 - rule.calls?))
        .sum();
    let calls = pipe.calls("CDEK");
    assert!(calls >= 2_600, "{calls} calls");
    assert!(
        // Twice their share at most is promised; this is one and a half.
        failed * 300 * 2 <= calls * 15 * 3 && failed >= 15,
        "{failed} of {calls} calls"
    );
}

#[tokio::test]
async fn numbers_that_fail_take_about_their_share_when_fixed() {
    share_of_failing("fixed").await;
}

#[tokio::test]
async fn numbers_that_fail_take_about_their_share_when_learned() {
    share_of_failing("learned").await;
}

#[tokio::test]
async fn failures_that_cannot_be_stored_are_counted_on() {
    let TestStore { store, url, .. } = &sqlite().await;
    let database = Database::connect(url).await.expect("connects");
    let deny = "CREATE TRIGGER deny BEFORE INSERT ON carrier_state BEGIN SELECT RAISE(ABORT, 'denied'); END";
    database.execute_unprepared(deny).await.expect("denies");
    let clock = Clock::manual(at(0));
    let pauses = Pauses::new(store.store(), clock.clone());
    for _ in 0..5 {
        let mark = pauses.mark();
        let states = store.account_states(clock.now()).await.expect("reads");
        pauses.merge(&states, mark).await;
        let reason = "the carrier answered 502".to_owned();
        pauses
            .note("CDEK", Told::Call { reason }, clock.now())
            .await;
    }
    let mark = pauses.mark();
    pauses.merge(&[], mark).await;
    assert_eq!(pauses.pace("CDEK"), Pace::Trial);
    assert_eq!(pauses.until("CDEK"), Some(at(1)));
    database
        .execute_unprepared("DROP TRIGGER deny")
        .await
        .expect("allows");
    pauses.merge(&[], mark).await;
    let states = store.account_states(clock.now()).await.expect("reads");
    assert_eq!(states[0].failures.fails, 5);
    assert_eq!(states[0].paused_until, Some(at(1)));
}

#[tokio::test]
async fn pauses_double_and_a_suspicion_becomes_certain() {
    let TestStore { store, .. } = &sqlite().await;
    let clock = Clock::manual(at(0));
    let pauses = Pauses::new(store.store(), clock.clone());
    let numbers = |id: i64, answered_before: bool| Told::Numbers {
        ids: vec![id],
        alike: "the carrier answered 400: …".to_owned(),
        answered_before,
    };
    let note = async |told: Told| {
        pauses.note("CDEK", told, clock.now()).await;
        let until = pauses.until("CDEK").filter(|until| *until > clock.now());
        until.map_or(0, |until| (until - clock.now()).num_seconds())
    };
    let refusal = || Told::Account {
        reason: "the carrier refused our credentials: it answered 401".to_owned(),
    };
    let mut waits = Vec::new();
    for _ in 0..8 {
        let wait = note(refusal()).await;
        // What was sent before the pause says nothing new.
        assert_eq!(note(refusal()).await, wait);
        waits.push(wait);
        clock.advance(Duration::from_secs(wait.unsigned_abs()));
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    assert_eq!(pauses.pace("CDEK"), Pace::Trial);
    note(Told::Well).await;
    assert_eq!(pauses.pace("CDEK"), Pace::Free);
    // The same number again and again is no suspicion; ten are, and one that was answered before makes it certain.
    for _ in 0..20 {
        note(numbers(1, false)).await;
    }
    assert_eq!(pauses.pace("CDEK"), Pace::Free);
    for id in 2..=10 {
        assert_eq!(note(numbers(id, true)).await, 0);
    }
    assert_eq!(pauses.pace("CDEK"), Pace::Slow);
    let another = Pauses::new(store.store(), clock.clone());
    let states = store.account_states(clock.now()).await.expect("reads");
    another.merge(&states, another.mark()).await;
    assert_eq!(another.pace("CDEK"), Pace::Slow, "for every worker");
    assert_eq!(note(numbers(11, true)).await, 60);
    clock.advance(Duration::from_secs(60));
    assert_eq!(note(numbers(12, false)).await, 120, "a trial that fails");
    clock.advance(Duration::from_secs(120));
    note(Told::Well).await;
    // A hundred of which none was answered before.
    let mut waits: Vec<i64> = Vec::new();
    for id in 1..=100 {
        waits.push(note(numbers(id, false)).await);
    }
    assert_eq!((waits[98], waits[99]), (0, 60));
}

#[tokio::test]
async fn of_several_workers_one_passes_the_gate_until_it_opens() {
    on_every_store(async |TestStore { store, .. }| {
        let hold = Duration::from_secs(10);
        let pass = async |secs| {
            let passed = store.pass_gate("CDEK", hold, at(secs)).await;
            passed.expect("asks")
        };
        let gate = pass(0).await.expect("is open");
        assert_eq!(pass(9).await, None);
        let next = pass(10).await.expect("opens by itself");
        store.open_gate("CDEK", gate).await.expect("is not ours");
        assert_eq!(pass(11).await, None);
        store.open_gate("CDEK", next).await.expect("opens");
        assert!(pass(11).await.is_some());
        store.lift_pause("CDEK", at(12)).await.expect("lifts");
        assert!(pass(12).await.is_some(), "opens with the pause");
    })
    .await;
}

#[tokio::test]
async fn calls_to_be_halved_are_kept_until_they_are_answered() {
    on_every_store(async |TestStore { store, .. }| {
        let splits = async |ids: &[i64]| {
            let read = store.call_splits(ids).await.expect("reads");
            let mut read: Vec<(i64, u32)> = read.into_iter().collect();
            read.sort_unstable();
            read
        };
        store.split_calls(&[3, 1, 2], 15).await.expect("notes");
        store.split_calls(&[2, 9], 8).await.expect("notes");
        assert_eq!(splits(&[1, 2, 4]).await, [(1, 15), (2, 8)]);
        store.end_splits(&[1, 2, 7]).await.expect("forgets");
        assert_eq!(splits(&[1, 2, 3, 9]).await, [(3, 15), (9, 8)]);
    })
    .await;
}

#[tokio::test]
async fn a_lifted_pause_ends_the_failures_too() {
    on_every_store(async |TestStore { store, .. }| {
        let failures = Failures {
            fails: 1,
            refusals: 2,
            suspicion: "the carrier answered 400".to_owned(),
            suspects: 10,
        };
        let noted = store.set_failures("CDEK", &failures, at(0)).await;
        noted.expect("notes");
        store
            .pause("CDEK", at(60), "refused", at(0))
            .await
            .expect("pauses");
        let state = async || {
            let mut states = store.account_states(at(0)).await.expect("reads");
            states.remove(0)
        };
        assert_eq!(state().await.failures, failures);
        store.lift_pause("CDEK", at(1)).await.expect("lifts");
        let lifted = state().await;
        assert_eq!(
            (lifted.paused_until, lifted.failures),
            (None, Failures::default())
        );
    })
    .await;
}
