//! The limits of days and months: counted exactly, by the calendar of their zone, and spread over what is left of them.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use sea_orm::{ConnectionTrait as _, Database};
use trackbox::cache::limiter::memory::MemoryLimiter;
use trackbox::clock::{Clock, Time};
use trackbox::model::limits::Limits;
use trackbox::model::quota::{Period, Quota};
use trackbox::plan::quota::Shares;
use trackbox::store::Store;
use trackbox::store::calls_taken::CallsTaken;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::limits::{MINUTE, in_any, per_day};
use crate::support::time::at;

async fn take(store: &Store, calls: u32, limits: &Limits, now: Time) -> CallsTaken {
    let even = Shares::even();
    let taken = store.take_calls("CDEK", calls, limits, &even, now);
    taken.await.expect("takes")
}

/// The calls of a worker that always asks for more, from `from` for `hours`.
async fn greedy(
    store: &Store,
    account: &str,
    limits: &Limits,
    shares: &Shares,
    from: Time,
    hours: i64,
) -> Vec<Time> {
    let clock = Clock::manual(from);
    let limiter = MemoryLimiter::new(clock.clone());
    let end = from + TimeDelta::hours(hours);
    let mut calls = Vec::new();
    while clock.now() < end {
        let reserved = limiter.reserve(account, limits, 1_000);
        let slots = u32::try_from(reserved.permits.len()).expect("few");
        if slots > 0 {
            let now = clock.now();
            let taken = store.take_calls(account, slots, limits, shares, now).await;
            let taken = taken.expect("takes").calls;
            limiter.give_back(account, &reserved, slots - taken);
            calls.extend((0..taken).map(|_| now));
        }
        let wait = reserved.next.saturating_sub(clock.monotonic());
        clock.advance(wait.max(MINUTE));
    }
    calls
}

fn at_time(text: &str) -> Time {
    text.parse().expect("a time")
}

fn by_day(calls: &[Time], zone: Tz) -> BTreeMap<String, u32> {
    let mut days = BTreeMap::new();
    for call in calls {
        let day = call.with_timezone(&zone).date_naive().to_string();
        *days.entry(day).or_default() += 1;
    }
    days
}

#[tokio::test]
async fn the_calls_of_a_day_never_exceed_its_limit() {
    on_every_store(async |TestStore { store, .. }| {
        let limits = per_day(100, Tz::UTC);
        let mut taken = 0;
        for _ in 0..5 {
            taken += take(&store, 30, &limits, at(0)).await.calls;
        }
        assert_eq!(taken, 100);
        let last = take(&store, 30, &limits, at(1)).await;
        let midnight = at(12 * 3_600);
        assert_eq!((last.calls, last.next), (0, midnight));
        let returned = store.give_back_calls("CDEK", 10, last.quarter).await;
        returned.expect("returns");
        assert_eq!(take(&store, 30, &limits, at(0)).await.calls, 10);
        let tomorrow = take(&store, 30, &limits, midnight).await;
        assert_eq!(tomorrow.calls, 30, "a new day");
        let returned = store.give_back_calls("CDEK", 50, last.quarter).await;
        returned.expect("returns");
        let behind = take(&store, 90, &limits, at(0)).await;
        assert_eq!(behind.calls, 70, "a clock behind counts on");
        let used = store.calls_used("CDEK", &limits.quotas, midnight).await;
        assert_eq!(used.expect("reads"), [100]);
    })
    .await;
}

#[tokio::test]
async fn a_day_with_a_stricter_minute_is_used_as_far_as_the_minute_allows() {
    on_every_store(async |TestStore { store, .. }| {
        for (per_day, at_least) in [(90_000, 0.97 * 83_600.0), (80_000, 0.99 * 80_000.0)] {
            let quota = Quota {
                calls: per_day,
                period: Period::Day,
                zone: Tz::UTC,
            };
            let limits = Limits {
                quotas: vec![quota],
                ..in_any(MINUTE, 60)
            };
            let (account, midnight) = (per_day.to_string(), at(12 * 3_600));
            let shares = Shares::default();
            let calls = greedy(&store, &account, &limits, &shares, midnight, 24);
            let calls = calls.await.len();
            assert!(calls as f64 >= at_least, "{calls} of {per_day}");
            assert!(
                calls <= 83_613.min(per_day as usize),
                "{calls} of {per_day}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn no_day_of_a_zone_gets_more_than_its_limit_however_long_it_is() {
    on_every_store(async |TestStore { store, .. }| {
        let days = [
            (Tz::Europe__Moscow, "2026-11-26T18:00:00Z"),
            (Tz::Europe__Berlin, "2026-03-27T18:00:00Z"),
            (Tz::Europe__Berlin, "2026-10-23T18:00:00Z"),
        ];
        for (zone, from) in days {
            let limits = Limits {
                quotas: per_day(2_000, zone).quotas,
                ..in_any(MINUTE, 20)
            };
            let (from, shares): (Time, Shares) = (at_time(from), Shares::default());
            let account = zone.name().to_owned() + &from.to_string();
            let calls = greedy(&store, &account, &limits, &shares, from, 56).await;
            let days = by_day(&calls, zone);
            assert!(days.values().all(|calls| *calls <= 2_000), "{days:?}");
            let whole: Vec<u32> = days.values().skip(1).take(2).copied().collect();
            assert!(whole.iter().all(|calls| *calls >= 1_960), "{days:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_clock_far_ahead_or_a_fault_has_stored_stops_no_account_and_raises_no_limit() {
    on_every_store(async |test: TestStore| {
        let store = &test.store;
        let limits = per_day(1_000, Tz::UTC);
        let database = Database::connect(&test.url).await.expect("connects");
        let later = if test.is_sqlite() {
            at(30 * 86_400).timestamp_micros().to_string()
        } else {
            format!("'{}'", at(30 * 86_400).to_rfc3339())
        };
        let ahead = at(30 * 86_400).timestamp();
        for spoil in [
            format!("UPDATE carrier_state SET tokens_at = {later}"),
            format!("UPDATE carrier_state SET paused_until = {later}"),
            format!("UPDATE carrier_state SET day = {}", ahead / 86_400),
            format!(
                "INSERT INTO calls_taken VALUES ('CDEK', {}, 1000)",
                ahead / 900
            ),
        ] {
            take(store, 1, &limits, at(0)).await;
            database.execute_unprepared(&spoil).await.expect(&spoil);
            let taken = take(store, 1, &limits, at(120)).await;
            assert_eq!(taken.calls, 1, "{spoil}");
            let states = store.mended_account_states(at(120)).await.expect("reads");
            let paused = states[0].paused_until.is_some_and(|until| until > at(120));
            assert!(!paused, "{spoil}");
        }
        store
            .pause("CDEK", at(300), "asked to", at(120))
            .await
            .expect("pauses");
        let states = store.account_states(at(120)).await.expect("reads");
        assert_eq!(
            states[0].paused_until,
            Some(at(300)),
            "a pause replaces one that cannot be"
        );
        for absurd in [-5, 1_000_000_000_000_000_000_i64] {
            let spoil = format!("UPDATE carrier_state SET day_used = {absurd}");
            database.execute_unprepared(&spoil).await.expect("writes");
            let taken = take(store, 2_000, &limits, at(180)).await;
            assert_eq!(taken.calls, 0, "{absurd}");
        }
        let refused = database
            .execute_unprepared("UPDATE calls_taken SET calls = -5")
            .await;
        assert!(refused.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_calls_of_a_month_are_counted_beside_those_of_its_days() {
    on_every_store(async |TestStore { store, .. }| {
        let mut limits = per_day(40, Tz::Europe__Berlin);
        limits.quotas.push(Quota {
            calls: 100,
            period: Period::Month,
            zone: Tz::Europe__Berlin,
        });
        let mut taken = Vec::new();
        for day in 0..4 {
            taken.push(take(&store, 50, &limits, at(day * 86_400)).await.calls);
        }
        assert_eq!(taken, [40, 40, 20, 0]);
        let last = take(&store, 50, &limits, at(4 * 86_400)).await;
        let december = at_time("2026-11-30T23:00:00Z");
        assert_eq!(last.next, december);
        assert_eq!(take(&store, 50, &limits, december).await.calls, 40);
        // Of another zone's month, these are 40 of November.
        let mut limits = per_day(1_000, Tz::UTC);
        limits.quotas[0].period = Period::Month;
        let used = store.calls_used("CDEK", &limits.quotas, december).await;
        assert_eq!(used.expect("reads"), [140]);
    })
    .await;
}
