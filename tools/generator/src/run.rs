//! One run: seeds the emulator with the journeys, then creates the trackings in batches at the wanted rate.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trackbox_emulator::journeys::delivery;
use trackbox_emulator::scenario::Parcel;

use crate::numbers::{Number, make_all};
use crate::options::Options;
use crate::pace::Pace;
use crate::progress::{RunEvent, Summary};
use crate::refusal::Refusal;
use crate::retry::{Patience, Rejected, persist};
use crate::target::{Answer, Target};

/// How long a parcel rests at each step, in seconds.
const STEP_SECONDS: u64 = 10;

/// The chance that a call moves a parcel before that time has passed.
const PROGRESS_PROB: f64 = 0.20;

/// How many journeys go to the emulator in one request of about 0.7 MB. The emulator accepts up to 64 MiB.
const JOURNEYS_A_REQUEST: usize = 500;

/// How often one batch is sent again without its refused items. A server may name only the first few of them at a time.
const REFUSALS_A_BATCH_MAX: usize = 10;

/// How many different refusals are shown. All of them are counted.
const REFUSALS_SHOWN_MAX: usize = 5;

/// Makes the parcels that `options` ask for, and reports to `progress`.
///
/// A process-wide rustls provider must be installed before. Dropping the future ends the run at once. The trackings
/// created so far remain, and a run with the same seed finds them.
///
/// # Errors
/// The options are invalid, the emulator refuses the journeys, or a server fails for two minutes. The error says how far
/// the run came and how to continue.
pub async fn run(
    options: &Options,
    progress: &mut (dyn FnMut(RunEvent<'_>) + Send),
) -> anyhow::Result<Summary> {
    run_with(options, &Patience::default(), progress).await
}

async fn run_with(
    options: &Options,
    patience: &Patience,
    progress: &mut (dyn FnMut(RunEvent<'_>) + Send),
) -> anyhow::Result<Summary> {
    options.check().map_err(anyhow::Error::msg)?;
    let seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
    progress(RunEvent::Note(format!(
        "seed {seed}: --seed {seed} makes the same numbers again"
    )));
    let mut session = Session {
        options,
        patience,
        api: Target::new("the API", &options.api_base, patience.deadline)?
            .with_key(options.key.clone()),
        started: Instant::now(),
        summary: Summary {
            total: options.count,
            seed,
            ..Summary::default()
        },
        refusals_shown: HashSet::new(),
        progress,
    };
    let numbers = make_all(&options.carriers, options.count, seed);
    if options.seed_emulator {
        session.seed_emulator(&numbers).await?;
    }
    session.create(&numbers).await?;
    Ok(session.summary)
}

#[derive(Serialize)]
struct Items<T> {
    items: T,
}

#[derive(Deserialize)]
struct Created {
    trackings: Vec<CreatedTracking>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedTracking {
    created_at: DateTime<Utc>,
}

struct Session<'a> {
    options: &'a Options,
    patience: &'a Patience,
    api: Target,
    started: Instant,
    summary: Summary,
    refusals_shown: HashSet<String>,
    progress: &'a mut (dyn FnMut(RunEvent<'_>) + Send),
}

impl Session<'_> {
    async fn seed_emulator(&mut self, numbers: &[Number]) -> anyhow::Result<()> {
        let base = &self.options.emulator_base;
        let emulator = Target::new("the emulator", base, self.patience.deadline)?;
        let total = numbers.len();
        let mut done = 0;
        for chunk in numbers.chunks(JOURNEYS_A_REQUEST) {
            let seed = self.summary.seed;
            let items: Vec<_> = chunk.iter().map(|number| parcel(number, seed)).collect();
            let path = "/v1/admin/seed-v1";
            let body = Items { items };
            let patience = self.patience;
            match persist(&emulator, path, &body, patience, |_| Ok(()), self.progress).await {
                Ok(()) => done += chunk.len(),
                Err(Rejected::Refused(refusal)) => bail!(
                    "{} refused the journeys: {}; to do without them, use --seed-emulator false",
                    emulator.name,
                    refusal.detail
                ),
                Err(Rejected::GaveUp { tried, reason }) => {
                    let error = self.gave_up(&emulator.name, tried, &reason, "");
                    return Err(error.context(format!(
                        "{done} of {total} parcels have their journey, and no tracking was created; \
                         to do without the emulator, use --seed-emulator false"
                    )));
                }
            }
            (self.progress)(RunEvent::Seeded { done, total });
        }
        Ok(())
    }

    async fn create(&mut self, numbers: &[Number]) -> anyhow::Result<()> {
        let mut pace = Pace::new(self.options.rps, self.options.batch);
        let pace_started = Instant::now();
        let mut first_batch: Option<(Duration, usize)> = None;
        self.report();
        for batch in numbers.chunks(self.options.batch) {
            tokio::time::sleep(pace.wait(pace_started.elapsed())).await;
            self.create_batch(batch).await?;
            let now = pace_started.elapsed();
            pace.passed(now, batch.len());
            match first_batch {
                None => first_batch = Some((now, self.summary.done())),
                Some((then, before)) => {
                    let items = (self.summary.done() - before) as f64;
                    self.summary.rate = Some(items / (now - then).as_secs_f64().max(1e-6));
                }
            }
            self.report();
        }
        Ok(())
    }

    fn report(&mut self) {
        self.summary.seconds = self.started.elapsed().as_secs_f64();
        (self.progress)(RunEvent::Created(&self.summary));
    }

    /// Creates a batch. If the API refuses it and names the bad items, sends it again without those.
    async fn create_batch(&mut self, batch: &[Number]) -> anyhow::Result<()> {
        let mut rest: Vec<&Number> = batch.iter().collect();
        for _ in 0..REFUSALS_A_BATCH_MAX {
            let body = Items { items: &rest };
            let read = |answer: &Answer| read_trackings(answer, rest.len());
            let path = "/trackings";
            let sent = persist(&self.api, path, &body, self.patience, read, self.progress);
            match sent.await {
                Ok(trackings) => {
                    self.count(&trackings);
                    return Ok(());
                }
                Err(Rejected::Refused(refusal)) => {
                    let before = rest.len();
                    self.show_refusal(&refusal, &rest);
                    let kept = without(&rest, &refusal);
                    // The refusal names no item, so it concerns all of them.
                    rest = if kept.len() == before {
                        Vec::new()
                    } else {
                        kept
                    };
                    self.summary.refused += before - rest.len();
                }
                Err(Rejected::GaveUp { tried, reason }) => {
                    self.report();
                    return Err(self.gave_up_creating(tried, &reason));
                }
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
        self.summary.refused += rest.len();
        Ok(())
    }

    fn count(&mut self, trackings: &[CreatedTracking]) {
        let already_there = trackings
            .iter()
            .filter(|tracking| self.api.was_there_before(tracking.created_at))
            .count();
        self.summary.already_there += already_there;
        self.summary.created += trackings.len() - already_there;
    }

    fn show_refusal(&mut self, refusal: &Refusal, items: &[&Number]) {
        let bad_items = refusal.bad_items.iter();
        let named = bad_items.filter_map(|(&index, reason)| Some((*items.get(index)?, reason)));
        let named: Vec<_> = named.collect();
        let mut text = match named.len() {
            0 => format!("{} refused {} trackings", self.api.name, items.len()),
            bad => format!(
                "{} refused {bad} of {} trackings",
                self.api.name,
                items.len()
            ),
        };
        text += &format!(": {}", refusal.detail);
        if let Some((number, reason)) = named.first() {
            let (carrier, number) = (&number.carrier_code, &number.track_number);
            text += &format!("; the first is {carrier} {number}: {reason}");
        }
        let shown = &mut self.refusals_shown;
        if shown.len() < REFUSALS_SHOWN_MAX && shown.insert(refusal.detail.clone()) {
            (self.progress)(RunEvent::Note(text));
        }
    }

    fn gave_up_creating(&self, tried: Duration, reason: &str) -> anyhow::Error {
        let seeded = match self.options.seed_emulator {
            true => " --seed-emulator false",
            false => "",
        };
        self.gave_up(&self.api.name, tried, reason, seeded)
            .context(self.summary.to_string())
    }

    /// The error if the server `name` failed for too long; it says how to continue when the server is back.
    fn gave_up(
        &self,
        name: &str,
        tried: Duration,
        reason: &str,
        more_options: &str,
    ) -> anyhow::Error {
        anyhow!(
            "gave up: {name} failed for {:.0} s ({reason}); to continue where this run ended, start it again with the \
             same options and --seed {}{more_options}: no tracking is created twice",
            tried.as_secs_f64(),
            self.summary.seed
        )
    }
}

/// A parcel for the emulator, with a journey that ends delivered.
fn parcel(number: &Number, seed: u64) -> Parcel {
    Parcel {
        postal_code: None,
        carrier: number.carrier_code.clone(),
        track_number: number.track_number.clone(),
        step_seconds: STEP_SECONDS,
        progress_prob: PROGRESS_PROB,
        steps: delivery(&number.carrier_code, &number.track_number, seed),
    }
}

fn read_trackings(answer: &Answer, expected: usize) -> Result<Vec<CreatedTracking>, String> {
    let created: Created = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{} with an unreadable answer: {error}", answer.status))?;
    match created.trackings.len() {
        count if count == expected => Ok(created.trackings),
        count => Err(format!("{count} trackings answered for {expected} items")),
    }
}

fn without<'a>(items: &[&'a Number], refusal: &Refusal) -> Vec<&'a Number> {
    let places = items.iter().enumerate();
    places
        .filter(|(index, _)| !refusal.bad_items.contains_key(index))
        .map(|(_, &item)| item)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
