//! The promise that no carrier gets more calls than its limits allow, in no window, however late permits are used.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, proptest};

use super::{AHEAD, Limits, MemoryLimiter, Permit, RateLimiter, age};
use crate::clock::Clock;
use crate::model::fixture::at;

const MINUTE: Duration = Duration::from_secs(60);

fn limiter() -> (Clock, RateLimiter) {
    let clock = Clock::manual(at(0));
    let limiter = RateLimiter::Memory(Arc::new(MemoryLimiter::new(clock.clone())));
    (clock, limiter)
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

/// Runs a greedy worker for `secs`, which uses each permit `late` (0 to 1 of its age) and whose calls travel `transit`
/// (0 to 1 of what is allowed); answers when the calls arrived.
async fn greedy(
    limits: Limits,
    window: Duration,
    secs: u64,
    lateness: &[(f64, f64)],
) -> Vec<Duration> {
    let (clock, limiter) = limiter();
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
        let arrivals = greedy(per_minute(limit, 1), MINUTE, 600, &[(0.0, 0.0)]).await;
        let most = busiest(arrivals, MINUTE);
        assert!(
            (least..=limit as usize).contains(&most),
            "{most} of {limit}"
        );
    }
}

/// The first permit of a window used at the end of its age with the longest journey, the next ones at once.
#[tokio::test]
async fn a_late_call_and_the_early_ones_after_it_still_fit_the_window() {
    for limit in 1..=120 {
        let mut lateness = vec![(0.0, 0.0); limit as usize + 2];
        lateness[0] = (1.0, 1.0);
        let arrivals = greedy(per_minute(limit, 1), MINUTE, 400, &lateness).await;
        let most = busiest(arrivals, MINUTE);
        assert!(most <= limit as usize, "{most} of {limit}");
    }
}

#[tokio::test]
async fn a_new_process_does_not_know_what_the_last_one_spent() {
    let (clock, limiter) = limiter();
    let limits = per_minute(60, 1);
    let spacing = Duration::from_secs(62) / 60 + Duration::from_nanos(1);
    let first = limiter.reserve("CDEK", &limits, 1).await;
    assert_eq!(first.permits, []);
    assert_eq!(first.next, clock.monotonic() + AHEAD + spacing);
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
    let (clock, limiter) = limiter();
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
}

#[tokio::test]
async fn slots_given_back_can_be_had_again_unless_somebody_reserved_since() {
    let (clock, limiter) = limiter();
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
}

#[tokio::test]
async fn of_two_limits_the_stricter_holds() {
    let limits = Limits {
        per_second: 2,
        per_minute: 30,
        ..per_minute(30, 1)
    };
    let arrivals = greedy(limits, Duration::from_secs(1), 600, &[(0.0, 0.0)]).await;
    assert!(busiest(arrivals.clone(), MINUTE) <= 30);
    assert!(busiest(arrivals, Duration::from_secs(1)) <= 2);
}

fn lateness() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let unit = || (0..=10_u8).prop_map(|tenths| f64::from(tenths) / 10.0);
    proptest::collection::vec((unit(), unit()), 1..40)
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
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let arrivals = runtime.block_on(greedy(limits, window, 240, &lateness));
        let most = busiest(arrivals, window);
        prop_assert!(most <= limit, "{} calls in a window that allows {}", most, limit);
    }
}
