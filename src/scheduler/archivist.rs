//! Writes answers to the archive in batches, and keeps it within its limits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Time, delta};
use crate::metrics::Metrics;
use crate::model::archived::Archived;
use crate::outage::Outage;
use crate::scheduler::archiving::Archiving;
use crate::store::Store;
use crate::store::archive_place::ArchivePlace;
use crate::store::error::StoreError;

/// How often answers are written: many at once cost little more than one.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// About how many answers one statement writes.
const BATCH: usize = 200;

/// How long the database may take over one statement, the first time with opening it.
const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// How long writing may take at a clean stop.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// How often the archive is brought within its limits.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How often its size is added up, and all of it is searched for parcels that are gone, counted in tidyings.
const SUM_EVERY: u64 = 10;
const SEARCH_EVERY: u64 = 60;

/// How many answers one statement deletes or looks at, and how many such statements one tidying makes of each kind.
const PAGE: u32 = 1_000;
const PAGES_MAX: usize = 100;

/// How far back the search for parcels that are gone begins: another worker may have written these after they were passed.
const SEARCH_AGAIN: i64 = 1_000;

/// What an archivist is made of.
#[derive(Clone)]
pub struct ArchivistParts {
    pub archiving: Arc<Archiving>,
    pub place: ArchivePlace,
    /// Where the parcels are.
    pub parcels: Store,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// How long an answer is kept.
    pub keep: Duration,
    /// How much the archive may take; beyond that the oldest answers go.
    pub bytes_max: u64,
}

/// The writer of a process' answers.
pub struct Archivist {
    parts: ArchivistParts,
    /// Answers that are being cut and compressed.
    cutting: Option<JoinHandle<Vec<Archived>>>,
    /// Cut and compressed, but not written.
    pending: Vec<Archived>,
    /// How often it has tidied.
    tidied: u64,
    /// The id of the answer up to which all are known to be of parcels that are there.
    searched: i64,
}

impl Archivist {
    pub fn new(parts: ArchivistParts) -> Self {
        Self {
            parts,
            cutting: None,
            pending: Vec::new(),
            tidied: 0,
            searched: 0,
        }
    }

    /// Writes and tidies until `stop`; then writes what is left, if that takes no longer than a second. Run it until the checks
    /// have ended.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut writing = Outage::new("archiving");
        let mut tidying = Outage::new("tidying the archive");
        let mut tidy_at = self.parts.clock.monotonic();
        while timeout(WRITE_EVERY, stop.cancelled()).await.is_err() {
            let Some(written) = stop.run_until_cancelled(self.write_all()).await else {
                break;
            };
            note(&mut writing, written);
            let now = self.parts.clock.monotonic();
            if now < tidy_at {
                continue;
            }
            tidy_at = now + TIDY_EVERY;
            let Some(tidied) = stop.run_until_cancelled(self.tidy()).await else {
                break;
            };
            note(&mut tidying, tidied);
        }
        let flushed = timeout(FLUSH_MAX, self.write_all()).await;
        let flushed = flushed.context("the database did not answer in time");
        if let Err(error) = flushed.flatten() {
            let left = self.pending.len() + self.parts.archiving.drop_all();
            tracing::warn!(left, "{left} answers do not reach the archive: {error:#}");
        }
        self.parts.place.close().await;
        Ok(())
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// If the database is away. What was taken is written by the next call.
    pub async fn write_all(&mut self) -> anyhow::Result<()> {
        while self.write().await? {}
        Ok(())
    }

    /// Writes one batch; whether there was one. A call that is stopped loses nothing.
    async fn write(&mut self) -> anyhow::Result<bool> {
        if self.pending.is_empty() {
            if self.cutting.is_none() {
                let noted = self.parts.archiving.take(BATCH);
                if noted.is_empty() {
                    return Ok(false);
                }
                let archiving = Arc::clone(&self.parts.archiving);
                let cutting = tokio::task::spawn_blocking(move || archiving.cut(noted));
                self.cutting = Some(cutting);
            }
            if let Some(cutting) = &mut self.cutting {
                let cut = cutting.await;
                self.cutting = None;
                self.pending = cut.context("cutting answers died")?;
            }
        }
        let written = timeout(STATEMENT_MAX, keep(&self.parts.place, &self.pending)).await;
        match written.context("the database did not answer in time")? {
            Ok(()) => self.parts.archiving.written(&self.pending),
            Err(error) if error.is_unavailable() || error.may_pass() => return Err(error.into()),
            Err(error) => {
                let refused = self.pending.len();
                self.parts.archiving.dropped(refused);
                tracing::error!(refused, "{refused} answers cannot be archived: {error}");
            }
        }
        self.pending.clear();
        Ok(true)
    }

    /// Deletes the answers of parcels that are gone, those that are too old, and the oldest beyond the archive's size.
    ///
    /// # Errors
    /// If a database is away.
    pub async fn tidy(&mut self) -> anyhow::Result<()> {
        let nth = self.tidied;
        self.tidied += 1;
        if nth.is_multiple_of(SEARCH_EVERY) {
            self.searched = 0;
        }
        let store = within(self.parts.place.store()).await?;
        self.delete_gone(&store).await?;
        let before = self.parts.clock.now() - delta(self.parts.keep);
        delete_oldest(&store, Some(before), u64::MAX).await?;
        if nth.is_multiple_of(SUM_EVERY) {
            let amount = within(store.archived_amount()).await?;
            let excess = amount.bytes.saturating_sub(self.parts.bytes_max);
            let deleted = delete_oldest(&store, None, excess).await?;
            let left = amount.bytes.saturating_sub(deleted);
            self.parts
                .metrics
                .archive_bytes()
                .set(i64::try_from(left).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    async fn delete_gone(&mut self, store: &Store) -> anyhow::Result<()> {
        for _ in 0..PAGES_MAX {
            let rows = within(store.archived_after(self.searched, PAGE)).await?;
            let Some(last) = rows.last() else {
                break;
            };
            let mut ids: BTreeSet<i64> = rows.iter().map(|row| row.tracking_id).collect();
            let asked: Vec<i64> = ids.iter().copied().collect();
            for id in within(self.parts.parcels.existing(&asked)).await? {
                ids.remove(&id);
            }
            let gone: Vec<i64> = ids.into_iter().collect();
            within(store.delete_archived(&gone)).await?;
            if rows.len() < PAGE as usize {
                self.searched = (last.id - SEARCH_AGAIN).max(self.searched);
                break;
            }
            self.searched = last.id;
        }
        Ok(())
    }
}

async fn keep(place: &ArchivePlace, answers: &[Archived]) -> Result<(), StoreError> {
    place.store().await?.archive(answers).await
}

fn note(outage: &mut Outage, result: anyhow::Result<()>) {
    match result {
        Ok(()) => outage.over(),
        Err(error) => outage.failed(format_args!("{error:#}")),
    }
}

/// Deletes the oldest answers until `bytes` are free, or none is left from before `before`. Tells how many bytes they took.
async fn delete_oldest(store: &Store, before: Option<Time>, bytes: u64) -> anyhow::Result<u64> {
    let mut deleted = 0;
    for _ in 0..PAGES_MAX {
        if deleted >= bytes {
            break;
        }
        let page = within(store.delete_oldest_archived(before, PAGE)).await?;
        deleted += page.bytes;
        if page.answers < u64::from(PAGE) {
            break;
        }
    }
    Ok(deleted)
}

/// What the database answers, unless it takes too long.
async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> anyhow::Result<T> {
    let answer = timeout(STATEMENT_MAX, call).await;
    Ok(answer.context("the database did not answer in time")??)
}
