//! What every process does beside its roles: it keeps its clock by the database's, and its cache in order.

use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::current::Current;
use crate::outage::Outage;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::processes::Process;

/// How often the clock is set by the database's.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// How long the database may take to answer with its time. The clock may be off by half of that.
const CLOCK_MAX: Duration = Duration::from_secs(2);

/// How often a process tells that it lives, how long that is believed, and how long telling may take.
const REGISTER_EVERY: Duration = Duration::from_secs(20);
const REGISTERED_FOR: TimeDelta = TimeDelta::seconds(60);
const REGISTER_MAX: Duration = Duration::from_secs(2);

/// How often the cache is repaired.
const MEND_EVERY: Duration = Duration::from_secs(1);

/// Sets `clock` to the database's time, taken as the time in the middle between the question and the answer.
///
/// # Errors
/// If the database is away, or takes too long for its answer to be of use.
pub async fn set_clock(store: &Store, clock: &Clock) -> anyhow::Result<()> {
    let before = clock.monotonic();
    let time = match tokio::time::timeout(CLOCK_MAX, store.time()).await {
        Ok(time) => time.context("cannot ask the database for the time")?,
        Err(_) => Err(StoreError::timed_out())
            .context("the database did not tell the time soon enough to be of use")?,
    };
    let after = clock.monotonic();
    let moved = clock.set(time, before + (after - before) / 2);
    if moved.abs() > chrono::TimeDelta::seconds(1) {
        tracing::warn!(
            offset_ms = -moved.num_milliseconds(),
            "this machine's clock is {} ms off the database's; the database's is used",
            -moved.num_milliseconds()
        );
    }
    Ok(())
}

/// Sets the clock again and again until `stop`.
pub async fn keep_clock(store: Store, clock: Clock, stop: CancellationToken) -> anyhow::Result<()> {
    let mut outage = Outage::new("setting the clock by the database's");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(CLOCK_EVERY) => {}
        }
        match set_clock(&store, &clock).await {
            Ok(()) => outage.over(),
            Err(error) => outage.failed(format_args!("{error:#}")),
        }
    }
}

/// Tells the database again and again that this process lives, until `stop`.
pub async fn register(
    store: Store,
    clock: Clock,
    roles: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let process = Process {
        id: Uuid::now_v7(),
        version: env!("CARGO_PKG_VERSION"),
        roles,
        started_at: clock.now(),
    };
    let mut outage = Outage::new("telling the database that this process lives");
    loop {
        let now = clock.now();
        let telling = store.keep_process(&process, now + REGISTERED_FOR, now);
        match tokio::time::timeout(REGISTER_MAX, telling).await {
            Ok(Ok(())) => outage.over(),
            Ok(Err(error)) => outage.failed(&error),
            Err(_) => outage.failed("the database did not answer in time"),
        }
        let rest = stop.run_until_cancelled(tokio::time::sleep(REGISTER_EVERY));
        if rest.await.is_none() {
            let dropping = store.drop_process(process.id);
            // If it fails, its time runs out.
            drop(tokio::time::timeout(REGISTER_MAX, dropping).await);
            return Ok(());
        }
    }
}

/// Repairs, again and again until `stop`, what the cache could not be told.
pub async fn mend_cache(current: Current, stop: CancellationToken) -> anyhow::Result<()> {
    while tokio::time::timeout(MEND_EVERY, stop.cancelled())
        .await
        .is_err()
    {
        current.mend().await;
    }
    Ok(())
}
