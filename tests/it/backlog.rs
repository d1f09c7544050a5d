//! In virtual time: while no consumer applies what is published, calls are not wasted on the same parcels.

use std::time::Duration;

use crate::support::pipe::{Pipe, Setup};

#[tokio::test]
async fn without_a_consumer_no_parcel_is_asked_for_twice_and_with_one_all_goes_on() {
    let mut pipe = Pipe::new(Setup {
        workers: 2,
        ..Setup::default()
    })
    .await;
    pipe.create_slow("CDEK", 50).await;
    pipe.consumes = false;
    pipe.run_for(Duration::from_secs(600)).await;
    assert_eq!(pipe.calls("CDEK"), 50);
    pipe.consumes = true;
    pipe.run_for(Duration::from_secs(180)).await;
    assert!(pipe.calls("CDEK") > 100, "{} calls", pipe.calls("CDEK"));
}
