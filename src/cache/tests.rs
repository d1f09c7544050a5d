//! What every cache promises, tested by one function for both kinds, and what only a shared cache can get wrong.

use std::sync::Arc;
use std::time::Duration;

use super::{Cache, Ticket};
use crate::cache::known::Family::{Owned as Views, Tracking};
use crate::cache::known::Known;
use crate::cache::memory::MemoryCache;
use crate::cache::redis::Redis;
use crate::cache::redis::fixture::{PrivateRedis, connect, random_prefix};
use crate::cache::redis::values::RedisCache;
use crate::model::fixture::{owned, shown};
use crate::model::owned::Owned;
use crate::model::shown::Shown;

const TTL: Duration = Duration::from_secs(600);

fn in_redis(redis: Redis, ttl: Duration) -> Cache {
    Cache::Redis(Arc::new(RedisCache::new(Arc::new(redis), ttl)))
}

/// Runs one contract on every kind of cache.
async fn on_every_cache<F: Future<Output = ()>>(contract: impl Fn(Cache) -> F) {
    contract(Cache::Memory(Arc::new(MemoryCache::new(100_000, TTL)))).await;
    contract(in_redis(connect(&random_prefix()).await, TTL)).await;
}

/// Puts states, and the views of their owners.
async fn put(cache: &Cache, rows: &[Shown], ticket: &Ticket) {
    let views: Vec<Owned> = rows.iter().map(|row| owned(row.id, 1)).collect();
    cache.put(&views, ticket).await;
    cache.put(rows, ticket).await;
}

async fn version_of(cache: &Cache, id: i64) -> Option<i64> {
    cache.get(&[id]).await.found[0]
        .as_ref()
        .map(|known| known.shown.version)
}

#[tokio::test]
async fn what_was_put_is_found_whole_and_what_was_not_is_a_miss() {
    on_every_cache(async |cache| {
        let ticket = cache.ticket().await;
        let rows = [shown(1, 4), shown(2, 9)];
        put(&cache, &rows, &ticket).await;
        let known = |shown: Shown| {
            Some(Known {
                owned: owned(shown.id, 1),
                shown,
            })
        };
        let [first, second] = rows.map(known);
        let found = cache.get(&[2, 3, 1, 2]).await.found;
        assert_eq!(found, [second.clone(), None, first, second]);
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_cannot_put_what_was_overtaken() {
    on_every_cache(async |cache| {
        let ticket = cache.ticket().await;
        cache.fence(Tracking, &[(1, 5)]).await;
        put(&cache, &[shown(1, 4)], &ticket).await;
        assert_eq!(version_of(&cache, 1).await, None);
        put(&cache, &[shown(1, 5)], &ticket).await;
        assert_eq!(version_of(&cache, 1).await, Some(5));
        let ticket = cache.ticket().await;
        put(&cache, &[shown(1, 4)], &ticket).await;
        assert_eq!(version_of(&cache, 1).await, Some(5));
    })
    .await;
}

/// What a consumer leaves if it dies between its commit and its write to the cache.
#[tokio::test]
async fn a_fence_alone_makes_an_older_value_a_miss_and_keeps_a_newer_one() {
    on_every_cache(async |cache| {
        let ticket = cache.ticket().await;
        put(&cache, &[shown(1, 4), shown(2, 7)], &ticket).await;
        assert_eq!(version_of(&cache, 1).await, Some(4));
        cache.fence(Tracking, &[(1, 5), (2, 7), (3, 1)]).await;
        assert_eq!(version_of(&cache, 1).await, None);
        assert_eq!(version_of(&cache, 2).await, Some(7));
        cache.fence(Tracking, &[(2, 6)]).await;
        assert_eq!(version_of(&cache, 2).await, Some(7));
    })
    .await;
}

/// A consumer that writes news knows nothing of the owners, and an owner who edits its words nothing of the news.
#[tokio::test]
async fn states_and_owners_views_are_fenced_apart() {
    on_every_cache(async |cache| {
        let ticket = cache.ticket().await;
        put(&cache, &[shown(1, 4)], &ticket).await;
        cache.fence(Views, &[(1, 2)]).await;
        assert_eq!(version_of(&cache, 1).await, None, "whose it is, is unknown");
        cache.put(&[owned(1, 1)], &ticket).await;
        assert_eq!(
            version_of(&cache, 1).await,
            None,
            "that was before the edit"
        );
        cache.put(&[owned(1, 2)], &ticket).await;
        assert_eq!(version_of(&cache, 1).await, Some(4), "the state was kept");
        cache.fence(Tracking, &[(1, 5)]).await;
        cache.put(&[shown(1, 5)], &ticket).await;
        let found = cache.get(&[1]).await.found;
        let versions = found[0]
            .as_ref()
            .map(|it| (it.shown.version, it.owned.version));
        assert_eq!(versions, Some((5, 2)));
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_are_put_and_found() {
    on_every_cache(async |cache| {
        let rows: Vec<_> = (1..=10_000).map(|id| shown(id, 2)).collect();
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let ticket = cache.ticket().await;
        put(&cache, &rows, &ticket).await;
        assert!(cache.get(&ids).await.found.iter().all(Option::is_some));
        let fences: Vec<(i64, i64)> = ids.iter().map(|id| (*id, 3)).collect();
        cache.fence(Tracking, &fences).await;
        assert!(cache.get(&ids).await.found.iter().all(Option::is_none));
    })
    .await;
}

#[tokio::test]
async fn processes_share_what_they_put_and_a_new_one_trusts_nothing_older() {
    let prefix = random_prefix();
    let first = in_redis(connect(&prefix).await, TTL);
    let second = in_redis(connect(&prefix).await, TTL);
    let tickets = (first.ticket().await, second.ticket().await);
    put(&second, &[shown(1, 4)], &tickets.1).await;
    assert_eq!(version_of(&first, 1).await, Some(4));
    first.fence(Tracking, &[(1, 5)]).await;
    assert_eq!(version_of(&second, 1).await, None);
    let ticket = first.ticket().await;
    put(&first, &[shown(1, 5)], &ticket).await;
    let third = in_redis(connect(&prefix).await, TTL);
    assert_eq!(
        version_of(&third, 1).await,
        None,
        "its start begins an epoch"
    );
    assert_eq!(version_of(&first, 1).await, None);
    put(&first, &[shown(1, 5)], &ticket).await;
    assert_eq!(
        version_of(&first, 1).await,
        None,
        "a ticket of the last epoch"
    );
}

#[tokio::test]
async fn an_expired_value_still_shuts_out_what_is_older() {
    let cache = in_redis(connect(&random_prefix()).await, Duration::from_millis(30));
    let ticket = cache.ticket().await;
    put(&cache, &[shown(1, 5)], &ticket).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(version_of(&cache, 1).await, None);
    put(&cache, &[shown(1, 4)], &ticket).await;
    assert_eq!(version_of(&cache, 1).await, None);
    put(&cache, &[shown(1, 5)], &ticket).await;
    assert_eq!(version_of(&cache, 1).await, Some(5));
}

#[tokio::test]
async fn emptying_redis_loses_fences_so_older_readers_put_nothing() {
    let server = PrivateRedis::start();
    let cache = in_redis(server.connect().await, TTL);
    let before = cache.ticket().await;
    cache.fence(Tracking, &[(1, 5)]).await;
    server.command("FLUSHALL");
    put(&cache, &[shown(1, 4)], &before).await;
    assert_eq!(version_of(&cache, 1).await, None);
    put(&cache, &[shown(1, 4)], &before).await;
    assert_eq!(version_of(&cache, 1).await, None);
    let after = cache.ticket().await;
    put(&cache, &[shown(1, 5)], &after).await;
    assert_eq!(version_of(&cache, 1).await, Some(5));
}

/// A consumer's fence is lost before the consumer commits. Its own write afterwards makes up for it.
#[tokio::test]
async fn a_write_too_late_to_be_kept_still_shuts_out_older_values() {
    let server = PrivateRedis::start();
    let cache = in_redis(server.connect().await, TTL);
    let consumer = cache.ticket().await;
    cache.fence(Tracking, &[(1, 5)]).await;
    server.command("FLUSHALL");
    let reader = cache.ticket().await;
    put(&cache, &[shown(1, 4)], &reader).await;
    assert_eq!(
        version_of(&cache, 1).await,
        Some(4),
        "version 5 is not yet committed"
    );
    put(&cache, &[shown(1, 5)], &consumer).await;
    assert_eq!(version_of(&cache, 1).await, None);
    put(&cache, &[shown(1, 4)], &reader).await;
    assert_eq!(version_of(&cache, 1).await, None);
}

#[tokio::test]
async fn a_restarted_redis_is_not_believed_what_it_read_from_its_file() {
    let server = PrivateRedis::start();
    let cache = in_redis(server.connect().await, TTL);
    let ticket = cache.ticket().await;
    put(&cache, &[shown(1, 4)], &ticket).await;
    server.command("SAVE");
    cache.fence(Tracking, &[(1, 5)]).await;
    let server = server.restart_from_its_file();
    // One cache that never saw the outage, and one that did.
    let fresh = in_redis(server.connect().await, TTL);
    assert_eq!(version_of(&fresh, 1).await, None);
    assert_eq!(version_of(&cache, 1).await, None);
    put(&cache, &[shown(1, 4)], &ticket).await;
    assert_eq!(version_of(&fresh, 1).await, None);
}

#[tokio::test]
async fn a_redis_that_hangs_is_a_miss_and_is_trusted_only_when_all_are_back() {
    let server = PrivateRedis::start();
    let cache = in_redis(server.connect().await, TTL);
    let ticket = cache.ticket().await;
    put(&cache, &[shown(1, 4)], &ticket).await;
    server.signal("-STOP");
    let began = std::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(version_of(&cache, 1).await, None);
        // The fence fails: the next reader of Redis must not find version 4.
        cache.fence(Tracking, &[(1, 5)]).await;
        put(&cache, &[shown(1, 5)], &ticket).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    server.signal("-CONT");
    let mut usable = None;
    for _ in 0..400 {
        let ticket = cache.ticket().await;
        let known = matches!(&ticket, Ticket::Redis(ticket) if !ticket.is_none());
        put(&cache, &[shown(1, 6)], &ticket).await;
        match version_of(&cache, 1).await {
            None => {}
            Some(version) => {
                assert_eq!(version, 6, "version 4 is of an epoch that is over");
                assert!(known);
                usable = Some(began.elapsed());
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(usable.is_some(), "the cache works again");
}

/// The stall is too short for others to notice, and the process whose fence failed does not use the cache again.
#[tokio::test]
async fn a_fence_that_failed_is_mended_without_a_reader() {
    let server = PrivateRedis::start();
    let consumer = in_redis(server.connect().await, TTL);
    consumer.mend().await;
    let reader = in_redis(server.connect().await, TTL);
    let ticket = reader.ticket().await;
    put(&reader, &[shown(1, 4)], &ticket).await;
    server.signal("-STOP");
    consumer.fence(Tracking, &[(2, 1)]).await;
    server.signal("-CONT");
    // Redis is not asked for a moment after that failure.
    consumer.fence(Tracking, &[(1, 5)]).await;
    assert_eq!(version_of(&reader, 1).await, Some(4), "the fence failed");
    let mended = async {
        while version_of(&reader, 1).await.is_some() {
            consumer.mend().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mended = tokio::time::timeout(Duration::from_secs(5), mended).await;
    mended.expect("version 4 is out of reach within seconds");
}

#[tokio::test]
async fn redis_over_tls_takes_a_password_and_never_shows_it() {
    // Another test of this process may have been first.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
    let (server, certificate) = PrivateRedis::start_encrypted();
    let mut roots = rustls::RootCertStore::empty();
    let pem = rustls::pki_types::pem::PemObject::from_pem_file(&certificate);
    roots.add(pem.expect("reads")).expect("trusts");
    let tls = || {
        rustls::ClientConfig::builder()
            .with_root_certificates(roots.clone())
            .with_no_client_auth()
    };
    let url = |password: &str| format!("rediss://:{password}@localhost:{}/0", server.port());
    let redis = Redis::connect(&url("hunter2"), Some(tls()), "test:")
        .await
        .expect("connects");
    redis.ping().await.expect("answers");
    let wrong = Redis::connect(&url("hunter3"), Some(tls()), "test:")
        .await
        .expect("begins to");
    let refused = wrong.ping().await.expect_err("is not let in");
    assert!(!refused.to_string().contains("hunter"), "{refused}");
}
