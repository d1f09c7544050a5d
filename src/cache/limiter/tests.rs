//! The promise that no carrier gets more calls in any window than its limits allow, however late permits are used.

mod server;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, proptest};

use super::RateLimiter;
use super::memory::MemoryLimiter;
use super::permit::{AHEAD, Permit};
use super::redis::RedisLimiter;
use crate::cache::redis::fixture::{connect, random_prefix};
use crate::clock::Clock;
use crate::model::fixture::at;
use crate::model::limits::{Limits, Window};

const MINUTE: Duration = Duration::from_secs(60);

fn in_memory() -> (Clock, RateLimiter) {
    let clock = Clock::manual(at(0));
    let limiter = RateLimiter::Memory(Arc::new(MemoryLimiter::new(clock.clone())));
    (clock, limiter)
}

/// A limiter in the tests' shared Redis, with keys of its own.
async fn in_redis() -> (Clock, RateLimiter) {
    let clock = Clock::manual(at(0));
    let redis = Arc::new(connect(&random_prefix()).await);
    let limiter = RateLimiter::Redis(Arc::new(RedisLimiter::new(redis, clock.clone())));
    (clock, limiter)
}

/// Runs one contract on every kind of limiter.
async fn on_every_limiter<F: Future<Output = ()>>(contract: impl Fn(Clock, RateLimiter) -> F) {
    let (clock, limiter) = in_memory();
    contract(clock, limiter).await;
    let (clock, limiter) = in_redis().await;
    contract(clock, limiter).await;
}

fn in_any(per: Duration, calls: u32, burst: u32) -> Limits {
    Limits {
        windows: vec![Window { calls, per }],
        burst,
        ..Limits::default()
    }
}

fn per_minute(limit: u32, burst: u32) -> Limits {
    in_any(MINUTE, limit, burst)
}

/// The most arrivals in any half-open window of this length.
fn busiest(mut arrivals: Vec<Duration>, window: Duration) -> usize {
    arrivals.sort();
    let mut first = 0;
    let mut most = 0;
    for (last, at) in arrivals.iter().enumerate() {
        while *at - arrivals[first] >= window {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Runs a greedy worker for `secs`. `lateness` says for each call how late its permit is used (0 to 1 of its age) and
/// how long it travels (0 to 1 of the allowed transit). Returns when the calls arrived.
async fn greedy(
    (clock, limiter): (Clock, RateLimiter),
    limits: &Limits,
    secs: u64,
    lateness: &[(f64, f64)],
) -> Vec<Duration> {
    let end = clock.monotonic() + Duration::from_secs(secs);
    let mut arrivals = Vec::new();
    while clock.monotonic() < end {
        let reserved = limiter.reserve("CDEK", limits, 70).await;
        for permit in &reserved.permits {
            let (late, transit) = lateness[arrivals.len() % lateness.len()];
            let sent = permit.from + (permit.until - permit.from).mul_f64(late);
            arrivals.push(sent + limits.transit().expect("has windows").mul_f64(transit));
        }
        clock.advance(Duration::from_millis(500));
    }
    arrivals
}

#[tokio::test]
async fn a_greedy_worker_uses_nearly_all_of_its_limit_and_never_more() {
    for (limit, least) in [(20, 18), (60, 57), (600, 575)] {
        for limiter in [in_memory(), in_redis().await] {
            let arrivals = greedy(limiter, &per_minute(limit, 1), 600, &[(0.0, 0.0)]).await;
            let most = busiest(arrivals, MINUTE);
            assert!(
                (least..=limit as usize).contains(&most),
                "{most} of {limit}"
            );
        }
    }
}

/// The first permit of a window is used at the end of its age with the longest transit, the next ones at once.
#[tokio::test]
async fn a_late_call_and_the_early_ones_after_it_still_fit_the_window() {
    for limit in 1..=120 {
        let mut lateness = vec![(0.0, 0.0); limit as usize + 2];
        lateness[0] = (1.0, 1.0);
        let mut limiters = vec![in_memory()];
        if limit % 12 == 1 {
            limiters.push(in_redis().await);
        }
        for limiter in limiters {
            let arrivals = greedy(limiter, &per_minute(limit, 1), 400, &lateness).await;
            let most = busiest(arrivals, MINUTE);
            assert!(most <= limit as usize, "{most} of {limit}");
        }
    }
}

#[tokio::test]
async fn a_new_process_does_not_know_what_the_last_one_spent() {
    on_every_limiter(async |clock, limiter| {
        let limits = per_minute(60, 1);
        let spacing = Duration::from_secs(62) / 60;
        let first = limiter.reserve("CDEK", &limits, 1).await;
        assert_eq!(first.permits, []);
        let early = first.next.checked_sub(clock.monotonic() + AHEAD + spacing);
        // Rounded up, by a nanosecond in memory and by a microsecond in Redis.
        assert!(early.is_some_and(|by| by <= Duration::from_micros(1)));
    })
    .await;
}

#[tokio::test]
async fn a_permit_is_void_before_its_slot_and_after_its_age() {
    let permit = Permit {
        from: Duration::from_secs(10),
        until: Duration::from_secs(11),
    };
    let valid: Vec<bool> = [9, 10, 11, 12]
        .map(|secs| permit.is_valid(Duration::from_secs(secs)))
        .to_vec();
    assert_eq!(valid, [false, true, true, false]);
}

#[tokio::test]
async fn accounts_do_not_share_and_an_account_without_limits_never_waits() {
    on_every_limiter(async |clock, limiter| {
        let limits = per_minute(60, 1);
        limiter.reserve("A", &limits, 1).await;
        clock.advance(Duration::from_secs(5));
        assert_eq!(limiter.reserve("A", &limits, 1).await.permits.len(), 1);
        assert_eq!(
            limiter.reserve("B", &limits, 1).await.permits.len(),
            0,
            "B is new"
        );
        let free = limiter.reserve("C", &Limits::default(), 50).await;
        assert_eq!(free.permits.len(), 50);
        assert!(
            free.permits
                .iter()
                .all(|permit| permit.is_valid(clock.monotonic()))
        );
    })
    .await;
}

#[tokio::test]
async fn returned_slots_are_free_again_unless_others_reserved_since() {
    on_every_limiter(async |clock, limiter| {
        let limits = per_minute(600, 1);
        limiter.reserve("CDEK", &limits, 1).await;
        clock.advance(Duration::from_secs(10));
        let mine = limiter.reserve("CDEK", &limits, 5).await;
        assert_eq!(mine.permits.len(), 5);
        limiter.give_back("CDEK", &mine, 4).await;
        let again = limiter.reserve("CDEK", &limits, 1).await;
        assert_eq!(again.permits[0], mine.permits[1]);
        limiter.give_back("CDEK", &mine, 4).await;
        let next = limiter.reserve("CDEK", &limits, 1).await;
        assert_eq!(
            next.permits[0].from, again.next,
            "an old reservation gives nothing back"
        );
    })
    .await;
}

#[tokio::test]
async fn of_two_limits_the_stricter_holds() {
    let second = Duration::from_secs(1);
    for burst in [1, 2, 30] {
        let mut limits = per_minute(30, burst);
        limits.windows.extend(in_any(second, 2, burst).windows);
        for limiter in [in_memory(), in_redis().await] {
            let arrivals = greedy(limiter, &limits, 600, &[(0.0, 0.0), (1.0, 1.0)]).await;
            assert!(arrivals.len() > 290, "{} calls", arrivals.len());
            assert!(busiest(arrivals.clone(), MINUTE) <= 30);
            assert!(busiest(arrivals, second) <= 2);
        }
    }
}

fn lateness() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let unit = || (0..=10_u8).prop_map(|tenths| f64::from(tenths) / 10.0);
    proptest::collection::vec((unit(), unit()), 1..40)
}

/// A new limiter in memory, and one in Redis if asked.
async fn of_case(in_redis_too: bool) -> Vec<(Clock, RateLimiter)> {
    let mut limiters = vec![in_memory()];
    if in_redis_too {
        limiters.push(in_redis().await);
    }
    limiters
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_calls_than_the_limit(
        limit in 1..90_u32, burst in 1..90_u32, in_seconds in any::<bool>(), lateness in lateness()
    ) {
        let (window, limit) = if in_seconds { (Duration::from_secs(1), limit % 20 + 1) } else { (MINUTE, limit) };
        let limits = in_any(window, limit, burst);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for limiter in runtime.block_on(of_case(lateness.len() % 8 == 0)) {
            let arrivals = runtime.block_on(greedy(limiter, &limits, 240, &lateness));
            let most = busiest(arrivals, window);
            prop_assert!(most <= limit as usize, "{} calls in a window that allows {}", most, limit);
        }
    }
}

/// Arrivals are those of [`Limits::calls_per_hour`], by which routes say how many parcels an account can check.
#[tokio::test]
async fn whatever_the_burst_an_hour_holds_the_calls_that_the_limits_say() {
    for (per, limit) in [(60, 60), (1, 5), (5, 1), (3_600, 600), (60, 3_001)] {
        for burst in [1, limit / 2, limit] {
            let limits = in_any(Duration::from_secs(per), limit, burst);
            let said = limits.calls_per_hour().expect("has a limit");
            let mut limiters = vec![in_memory()];
            if per <= 5 {
                limiters.push(in_redis().await);
            }
            for (clock, limiter) in limiters {
                // The first hour begins by waiting out what may have been sent before.
                limiter.reserve("CDEK", &limits, 1).await;
                clock.advance(Duration::from_secs(per + 3));
                let arrivals = greedy((clock, limiter), &limits, 3_600, &[(0.0, 0.0)]).await;
                let share = arrivals.len() as f64 / said;
                let one_round = f64::from(burst.min(1_000)) / said;
                assert!(
                    (0.98..=1.02 + one_round).contains(&share),
                    "{share} of {said} calls: {limit} in {per} s, burst {burst}"
                );
            }
        }
    }
}

#[tokio::test]
async fn two_workers_share_what_a_carrier_allows() {
    let clock = Clock::manual(at(0));
    let prefix = random_prefix();
    let mut workers = Vec::new();
    for _ in 0..2 {
        let redis = Arc::new(connect(&prefix).await);
        workers.push(RedisLimiter::new(redis, clock.clone()));
    }
    let limits = per_minute(120, 1);
    let mut arrivals = Vec::new();
    for round in 0..400_usize {
        let reserved = workers[round % 2].reserve("CDEK", &limits, 3).await;
        arrivals.extend(reserved.permits.iter().map(|permit| permit.from));
        clock.advance(Duration::from_millis(500));
    }
    let most = busiest(arrivals, MINUTE);
    assert!((110..=120).contains(&most), "{most} of 120");
}
