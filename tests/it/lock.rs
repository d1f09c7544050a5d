//! The lock on the whole database.

use trackbox::store::lock::StoreLock;

use crate::support::fixture::{TestStore, on_every_store};

#[tokio::test]
async fn the_lock_is_shared_by_many_or_held_by_one_alone() {
    on_every_store(async |TestStore { url, .. }| {
        let take = async |alone| StoreLock::take(&url, None, alone).await.expect("answers");
        let mut first = take(false).await.expect("it is free");
        let second = take(false).await.expect("they share");
        assert!(take(true).await.is_none(), "two others hold it");
        first.release().await;
        second.release().await;
        let mut alone = take(true).await.expect("all have released it");
        assert!(take(false).await.is_none());
        assert!(take(true).await.is_none());
        assert!(alone.keep().await.expect("is held"));
        alone.release().await;
        first = take(false).await.expect("it is free again");
        first.release().await;
    })
    .await;
}
