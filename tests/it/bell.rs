//! What wakes a worker when a parcel becomes due at once, in this process and, through a real Redis, in others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use trackbox::cache::bell::Bell;
use trackbox::cache::redis::Redis;
use uuid::Uuid;

use crate::support::engines::server;

/// How soon another process hears the bell at the latest, on a busy machine.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

async fn is_woken(notify: &Notify) -> bool {
    tokio::time::timeout(HEARD_WITHIN, notify.notified())
        .await
        .is_ok()
}

#[tokio::test]
async fn a_ring_is_heard_at_once_in_the_same_process() {
    let here = Arc::new(Notify::new());
    Bell::new(Arc::clone(&here), None).ring().await;
    assert!(is_woken(&here).await);
}

#[tokio::test]
async fn a_ring_is_heard_in_every_process_that_listens() {
    let url = server("TRACKBOX_TEST_REDIS");
    let prefix = format!("test:{}:", Uuid::now_v7().simple());
    let connect = async || Arc::new(Redis::connect(&url, None, &prefix).await.expect("connects"));
    let stop = CancellationToken::new();
    let mut listening = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = Arc::new(Notify::new());
        let bell = Bell::new(Arc::clone(&worker), Some(connect().await));
        let stop = stop.clone();
        listening.push(tokio::spawn(async move { bell.listen(stop).await }));
        workers.push(worker);
    }
    let api = Bell::new(Arc::default(), Some(connect().await));
    // A process that begins to listen does not know what was rung before: it rings until both have heard.
    for worker in &workers {
        let heard = async {
            loop {
                api.ring().await;
                if tokio::time::timeout(Duration::from_millis(150), worker.notified())
                    .await
                    .is_ok()
                {
                    return;
                }
            }
        };
        tokio::time::timeout(HEARD_WITHIN, heard)
            .await
            .expect("hears it");
    }
    api.ring().await;
    for worker in &workers {
        assert!(is_woken(worker).await, "one ring is enough");
    }
    stop.cancel();
    for listener in listening {
        listener.await.expect("ends when it is told to");
    }
}
