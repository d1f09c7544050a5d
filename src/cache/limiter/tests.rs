//! The promise that no carrier gets more calls in any window than its limits allow, however late permits are used.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, proptest};

use super::RateLimiter;
use super::memory::MemoryLimiter;
use super::permit::{AHEAD, Permit};
use super::redis::RedisLimiter;
use crate::cache::redis::fixture::{PrivateRedis, connect, random_prefix};
use crate::clock::Clock;
use crate::model::fixture::at;
use crate::model::limits::{Limits, age};

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

fn per_minute(limit: u32, burst: u32) -> Limits {
    Limits {
        per_minute: limit,
        burst,
        ..Limits::default()
    }
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
    limits: Limits,
    window: Duration,
    secs: u64,
    lateness: &[(f64, f64)],
) -> Vec<Duration> {
    let end = clock.monotonic() + Duration::from_secs(secs);
    let mut arrivals = Vec::new();
    while clock.monotonic() < end {
        let reserved = limiter.reserve("CDEK", &limits, 7).await;
        for permit in &reserved.permits {
            let (late, transit) = lateness[arrivals.len() % lateness.len()];
            let sent = permit.from + (permit.until - permit.from).mul_f64(late);
            arrivals.push(sent + age(window).mul_f64(transit));
        }
        clock.advance(Duration::from_millis(250));
    }
    arrivals
}

#[tokio::test]
async fn a_greedy_worker_uses_nearly_all_of_its_limit_and_never_more() {
    for (limit, least) in [(20, 18), (60, 57), (600, 575)] {
        for limiter in [in_memory(), in_redis().await] {
            let arrivals = greedy(limiter, per_minute(limit, 1), MINUTE, 600, &[(0.0, 0.0)]).await;
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
            let arrivals = greedy(limiter, per_minute(limit, 1), MINUTE, 400, &lateness).await;
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
        limiter.give_back("CDEK", &limits, &mine, 4).await;
        let again = limiter.reserve("CDEK", &limits, 1).await;
        assert_eq!(again.permits[0], mine.permits[1]);
        limiter.give_back("CDEK", &limits, &mine, 4).await;
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
    let limits = Limits {
        per_second: 2,
        per_minute: 30,
        ..per_minute(30, 1)
    };
    for limiter in [in_memory(), in_redis().await] {
        let arrivals = greedy(limiter, limits, Duration::from_secs(1), 600, &[(0.0, 0.0)]).await;
        assert!(busiest(arrivals.clone(), MINUTE) <= 30);
        assert!(busiest(arrivals, Duration::from_secs(1)) <= 2);
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
        let (window, limits) = if in_seconds {
            let limit = limit % 20 + 1;
            let limits = Limits { per_second: limit, burst: burst.min(limit), ..Limits::default() };
            (Duration::from_secs(1), limits)
        } else {
            (MINUTE, per_minute(limit, burst.min(limit)))
        };
        let limit = limits.per_second.max(limits.per_minute) as usize;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for limiter in runtime.block_on(of_case(lateness.len() % 8 == 0)) {
            let arrivals = runtime.block_on(greedy(limiter, limits, window, 240, &lateness));
            let most = busiest(arrivals, window);
            prop_assert!(most <= limit, "{} calls in a window that allows {}", most, limit);
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

#[tokio::test]
async fn by_the_servers_clock_a_slot_is_used_neither_early_nor_late() {
    let redis = Arc::new(connect(&random_prefix()).await);
    let clock = Clock::system();
    let limiter = RedisLimiter::new(redis, clock.clone());
    let limits = Limits {
        per_second: 20,
        burst: 1,
        ..Limits::default()
    };
    let first = limiter.reserve("CDEK", &limits, 5).await;
    assert_eq!(first.permits, [], "the bucket is new");
    tokio::time::sleep(first.next.saturating_sub(clock.monotonic())).await;
    let before = clock.monotonic();
    let reserved = limiter.reserve("CDEK", &limits, 5).await;
    let after = clock.monotonic();
    assert_eq!(reserved.permits.len(), 5);
    for pair in reserved.permits.windows(2) {
        assert_eq!(pair[1].from - pair[0].from, Duration::from_micros(60_001));
    }
    for permit in &reserved.permits {
        assert!(permit.from >= before, "not before its slot");
        assert!(permit.until <= permit.from + age(Duration::from_secs(1)));
        assert!(permit.until + (after - before) >= permit.from + age(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn after_redis_was_emptied_or_read_an_old_file_calls_wait() {
    let server = PrivateRedis::start();
    let clock = Clock::manual(at(0));
    let limits = per_minute(60, 1);
    let limiter = |redis| RedisLimiter::new(Arc::new(redis), clock.clone());
    let first = limiter(server.connect().await);
    first.reserve("CDEK", &limits, 1).await;
    clock.advance(MINUTE);
    assert_eq!(first.reserve("CDEK", &limits, 1).await.permits.len(), 1);
    server.command("SAVE");
    clock.advance(MINUTE);
    assert_eq!(first.reserve("CDEK", &limits, 1).await.permits.len(), 1);
    let server = server.restart_from_its_file();
    let second = limiter(server.connect().await);
    assert_eq!(second.reserve("CDEK", &limits, 1).await.permits, []);
    clock.advance(MINUTE);
    assert_eq!(second.reserve("CDEK", &limits, 1).await.permits.len(), 1);
    server.command("FLUSHALL");
    assert_eq!(second.reserve("CDEK", &limits, 1).await.permits, []);
}

#[tokio::test]
async fn without_redis_carriers_with_a_limit_wait_and_others_go_on() {
    let server = PrivateRedis::start();
    let clock = Clock::system();
    let limiter = RedisLimiter::new(Arc::new(server.connect().await), clock.clone());
    let limits = per_minute(60, 1);
    drop(server);
    let began = std::time::Instant::now();
    for _ in 0..20 {
        let refused = limiter.reserve("CDEK", &limits, 1).await;
        assert_eq!(refused.permits, []);
        assert!(refused.next > clock.monotonic());
        let free = limiter.reserve("FREE", &Limits::default(), 9).await;
        assert_eq!(free.permits.len(), 9);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "no call waits long"
    );
}
