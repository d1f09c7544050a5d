//! What every store promises of an account's price.

use trackbox::clock::day_of;
use trackbox::plan::quota::Shares;
use uuid::Uuid;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::prices::{lead, pricing};
use crate::support::time::at;

#[tokio::test]
async fn one_worker_at_a_time_adjusts_a_price_and_the_next_one_goes_on() {
    on_every_store(async |TestStore { store, .. }| {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(store.account_plan("CDEK").await.expect("asks"), None);
        assert_eq!(lead(&store, one, 0).await, Some(pricing("CDEK", 1.0)));
        assert_eq!(lead(&store, other, 100).await, None);
        let mut found = pricing("CDEK", 2.5);
        found.price.by_hour[7] = 3.25;
        found.shares = Shares::of(&[4.0; 24]);
        found.shares_day = day_of(at(0));
        assert!(
            store
                .set_account_plan(&found, one, None)
                .await
                .expect("writes")
        );
        assert!(
            !store
                .set_account_plan(&pricing("CDEK", 9.0), other, None)
                .await
                .expect("asks")
        );
        assert_eq!(
            lead(&store, one, 150).await,
            Some(found.clone()),
            "the lease goes on"
        );
        assert_eq!(lead(&store, other, 330).await, None);
        assert_eq!(
            lead(&store, other, 331).await,
            Some(found.clone()),
            "a worker that is silent is replaced"
        );
        assert!(
            !store
                .set_account_plan(&pricing("CDEK", 9.0), one, None)
                .await
                .expect("asks")
        );
        store.stop_leading(other, at(340)).await.expect("stops");
        assert_eq!(
            lead(&store, one, 340).await,
            Some(found.clone()),
            "a worker that stops lets the next one go on at once"
        );
        assert_eq!(store.account_plan("CDEK").await.expect("asks"), Some(found));
    })
    .await;
}
