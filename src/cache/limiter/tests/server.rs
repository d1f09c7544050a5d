//! The same promise while the server of the shared limiter misbehaves.

use std::sync::Arc;
use std::time::Duration;

use super::{MINUTE, busiest, greedy, in_any, in_redis, per_minute};
use crate::cache::limiter::RateLimiter;
use crate::cache::limiter::redis::RedisLimiter;
use crate::cache::redis::fixture::{PrivateRedis, connect, random_prefix};
use crate::clock::Clock;
use crate::model::fixture::at;
use crate::model::limits::{Limits, age};

#[tokio::test]
async fn by_the_servers_clock_a_slot_is_used_neither_early_nor_late() {
    let redis = Arc::new(connect(&random_prefix()).await);
    let clock = Clock::system();
    let limiter = RedisLimiter::new(redis, clock.clone());
    let limits = in_any(Duration::from_secs(1), 20, 1);
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

/// One call a second for a minute, all that the limit allows: after the change no window may hold more.
async fn when_its_clock_jumps_by(
    hours: i64,
    burst: u32,
) -> (Clock, RateLimiter, Limits, Vec<Duration>) {
    let (clock, limiter) = in_redis().await;
    let limits = per_minute(60, burst);
    let calls = greedy(
        (clock.clone(), limiter.clone()),
        &limits,
        240,
        &[(0.0, 0.0)],
    )
    .await;
    clock.jump(chrono::TimeDelta::hours(hours));
    (clock, limiter, limits, calls)
}

#[tokio::test]
async fn after_its_clock_was_set_back_a_call_follows_within_two_spacings() {
    let (clock, limiter, limits, _) = when_its_clock_jumps_by(-1, 1).await;
    let next = limiter.reserve("CDEK", &limits, 1).await.next;
    let spacing = Duration::from_secs(62) / 60;
    assert!(next <= clock.monotonic() + spacing * 2, "{next:?}");
}

#[tokio::test]
async fn no_limit_is_exceeded_when_its_clock_is_set_back_or_forward() {
    for burst in [1, 30, 60] {
        for hours in [-1, 1] {
            let (clock, limiter, limits, mut calls) = when_its_clock_jumps_by(hours, burst).await;
            let before = calls.len();
            calls.extend(greedy((clock, limiter), &limits, 240, &[(0.0, 0.0)]).await);
            assert!(calls.len() > before + 100, "calls go on");
            let most = busiest(calls, MINUTE);
            assert!(most <= 60, "{most} of 60, burst {burst}, {hours} h");
        }
    }
}

#[tokio::test]
async fn a_log_of_other_limits_or_of_an_older_version_is_made_to_fit() {
    let redis = Arc::new(connect(&random_prefix()).await);
    let clock = Clock::manual(at(0));
    let limiter = RateLimiter::Redis(Arc::new(RedisLimiter::new(redis, clock.clone())));
    let mut calls = Vec::new();
    for (limit, burst) in [(10, 1), (60, 60), (60, 7), (20, 20), (60, 1)] {
        let began = calls.len();
        let limits = per_minute(limit, burst);
        calls.extend(
            greedy(
                (clock.clone(), limiter.clone()),
                &limits,
                200,
                &[(0.0, 0.0)],
            )
            .await,
        );
        let most = busiest(calls[began..].to_vec(), MINUTE);
        assert!(
            most <= limit as usize && most + 2 > limit as usize,
            "{most} of {limit}"
        );
    }
    assert!(busiest(calls, MINUTE) <= 60);
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
