//! Consumers whose clock stands still, and records for them to read.

use std::sync::Arc;

use trackbox::cache::Cache;
use trackbox::clock::Clock;
use trackbox::consumer::parts::ConsumerParts;
use trackbox::current::Current;
use trackbox::kafka::Bus;
use trackbox::kafka::record::Outgoing;
use trackbox::metrics::Metrics;

use crate::support::fixture::TestStore;
use crate::support::time::at;

/// The key of all records that [`publish`] writes.
pub const KEY: &[u8] = b"1";

/// The parts of a consumer at `at(secs)`.
pub fn parts(test: &TestStore, bus: Bus, cache: Cache, secs: i64) -> ConsumerParts {
    let metrics = Arc::new(Metrics::new());
    ConsumerParts {
        store: test.store.store(),
        bus,
        current: Current::new(test.store.clone(), cache, Arc::clone(&metrics)),
        clock: Clock::manual(at(secs)),
        metrics,
    }
}

/// Publishes `values` to the partition of [`KEY`].
pub async fn publish(bus: &Bus, values: Vec<Vec<u8>>) {
    let outgoing = |value| Outgoing {
        key: KEY.to_vec(),
        value,
    };
    let records = values.into_iter().map(outgoing).collect();
    bus.publish(records).await.expect("publishes");
}
