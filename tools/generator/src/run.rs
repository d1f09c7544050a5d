//! One run: seeds the emulator with the journeys, then creates the trackings in batches at the wanted rate.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::journeys;
use crate::options::Options;
use crate::outage::{GaveUp, Outcome, Patience, persist};
use crate::pace::Pace;
use crate::parcels::{self, Parcel};
use crate::problem::Problem;
use crate::target::{Answer, Target};

/// How many journeys go to the emulator in one request, about 0.7 MB: its limit is 64 MiB.
const JOURNEYS_A_REQUEST: usize = 500;

/// How often one batch is sent again without the items that were refused: a server may name only the first few.
const REFUSALS_A_BATCH_MAX: usize = 10;

/// How many different refusals are shown; all of them are counted.
const REFUSALS_SHOWN_MAX: usize = 5;

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A line to show: the seed, an outage, a refusal.
    Note(String),
    /// So many parcels have their journey in the emulator.
    Seeded { done: usize, total: usize },
    /// A batch is through, or the first is about to be sent.
    Created(&'a Summary),
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many trackings were asked for.
    pub total: usize,
    /// Trackings that the API made for us.
    pub created: usize,
    /// Trackings that were there before this run.
    pub already_there: usize,
    /// Items that the API did not want.
    pub refused: usize,
    /// From the start of the run, the seeding of the emulator included.
    pub seconds: f64,
    /// Trackings a second, from the first batch's answer to the last one's; none while there is one batch only.
    pub rate: Option<f64>,
    /// The seed that makes the same numbers again.
    pub seed: u64,
}

impl Summary {
    /// How many of the trackings asked for are settled, one way or another.
    pub fn done(&self) -> usize {
        self.created + self.already_there + self.refused
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} trackings in {:.1} s: {} created, {} already there, {} refused",
            self.done(),
            self.total,
            self.seconds,
            self.created,
            self.already_there,
            self.refused
        )?;
        if let Some(rate) = self.rate {
            write!(f, "; {rate:.1} a second")?;
        }
        write!(f, " (seed {})", self.seed)
    }
}

/// Does what `options` say and reports to `progress` as it goes.
///
/// A process-wide rustls provider must be installed before. Dropping the future ends the run at once; what the API has
/// created stays, and a run with the same seed finds it there.
///
/// # Errors
/// Where the options are wrong, the emulator refuses the journeys, or a server fails for two minutes; the error says how
/// far the run came and how to go on.
pub async fn run(
    options: &Options,
    progress: &mut (dyn FnMut(Event<'_>) + Send),
) -> anyhow::Result<Summary> {
    run_with(options, &Patience::default(), progress).await
}

async fn run_with(
    options: &Options,
    patience: &Patience,
    progress: &mut (dyn FnMut(Event<'_>) + Send),
) -> anyhow::Result<Summary> {
    options.check().map_err(anyhow::Error::msg)?;
    let seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
    progress(Event::Note(format!(
        "seed {seed}: --seed {seed} makes the same numbers again"
    )));
    let mut run = Run {
        options,
        patience,
        api: Target::new("the API", &options.api_base, patience.deadline)?,
        started: Instant::now(),
        summary: Summary {
            total: options.count,
            seed,
            ..Summary::default()
        },
        refusals_shown: HashSet::new(),
        progress,
    };
    let parcels = parcels::make(&options.carriers, options.count, seed);
    if options.seed_emulator {
        run.seed_emulator(&parcels).await?;
    }
    run.create(&parcels).await?;
    Ok(run.summary)
}

#[derive(Serialize)]
struct Items<T> {
    items: T,
}

#[derive(Deserialize)]
struct Created {
    trackings: Vec<Tracking>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tracking {
    created_at: DateTime<Utc>,
}

struct Run<'a> {
    options: &'a Options,
    patience: &'a Patience,
    api: Target,
    started: Instant,
    summary: Summary,
    refusals_shown: HashSet<String>,
    progress: &'a mut (dyn FnMut(Event<'_>) + Send),
}

impl Run<'_> {
    async fn seed_emulator(&mut self, parcels: &[Parcel]) -> anyhow::Result<()> {
        let base = &self.options.emulator_base;
        let emulator = Target::new("the emulator", base, self.patience.deadline)?;
        // A stream of its own: the numbers do not depend on whether there are journeys.
        let mut rng = StdRng::seed_from_u64(!self.summary.seed);
        let total = parcels.len();
        let mut done = 0;
        for chunk in parcels.chunks(JOURNEYS_A_REQUEST) {
            let items: Vec<_> = chunk
                .iter()
                .map(|parcel| journeys::make(parcel, &mut rng))
                .collect();
            let path = "/v1/admin/seed-v1";
            let body = Items { items };
            let patience = self.patience;
            match persist(&emulator, path, &body, patience, |_| Ok(()), self.progress).await {
                Ok(Outcome::Taken(())) => done += chunk.len(),
                Ok(Outcome::Refused(problem)) => bail!(
                    "{} refused the journeys: {}; without them: --seed-emulator false",
                    emulator.name,
                    problem.detail
                ),
                Err(gave_up) => {
                    return Err(self.gave_up(&emulator.name, &gave_up, "").context(format!(
                        "{done} of {total} parcels have their journey, no tracking is created; \
                         without the emulator: --seed-emulator false"
                    )));
                }
            }
            (self.progress)(Event::Seeded { done, total });
        }
        Ok(())
    }

    async fn create(&mut self, parcels: &[Parcel]) -> anyhow::Result<()> {
        let mut pace = Pace::new(self.options.rps, self.options.batch);
        let pace_started = Instant::now();
        let mut first_batch: Option<(Duration, usize)> = None;
        self.report();
        for batch in parcels.chunks(self.options.batch) {
            tokio::time::sleep(pace.wait(pace_started.elapsed())).await;
            if let Err(gave_up) = self.create_batch(batch).await {
                self.report();
                return Err(self.gave_up_creating(&gave_up));
            }
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
        (self.progress)(Event::Created(&self.summary));
    }

    /// Creates a batch; where the API refuses it and names the items to blame, once more without those.
    async fn create_batch(&mut self, batch: &[Parcel]) -> Result<(), GaveUp> {
        let mut rest: Vec<&Parcel> = batch.iter().collect();
        for _ in 0..REFUSALS_A_BATCH_MAX {
            let body = Items { items: &rest };
            let read = |answer: &Answer| read_trackings(answer, rest.len());
            let path = "/trackings";
            let sent = persist(&self.api, path, &body, self.patience, read, self.progress);
            match sent.await? {
                Outcome::Taken(trackings) => {
                    self.count(&trackings);
                    return Ok(());
                }
                Outcome::Refused(problem) => {
                    let before = rest.len();
                    self.show_refusal(&problem, &rest);
                    let kept = without(&rest, &problem);
                    // Nobody named: all of them are refused.
                    rest = if kept.len() == before {
                        Vec::new()
                    } else {
                        kept
                    };
                    self.summary.refused += before - rest.len();
                }
            }
            if rest.is_empty() {
                return Ok(());
            }
        }
        self.summary.refused += rest.len();
        Ok(())
    }

    fn count(&mut self, trackings: &[Tracking]) {
        let already_there = trackings
            .iter()
            .filter(|tracking| self.api.was_there_before(tracking.created_at))
            .count();
        self.summary.already_there += already_there;
        self.summary.created += trackings.len() - already_there;
    }

    fn show_refusal(&mut self, problem: &Problem, items: &[&Parcel]) {
        let bad_items = problem.bad_items.iter();
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
        text += &format!(": {}", problem.detail);
        if let Some((parcel, reason)) = named.first() {
            let (carrier, number) = (&parcel.carrier_code, &parcel.track_number);
            text += &format!("; the first is {carrier} {number}: {reason}");
        }
        let shown = &mut self.refusals_shown;
        if shown.len() < REFUSALS_SHOWN_MAX && shown.insert(problem.detail.clone()) {
            (self.progress)(Event::Note(text));
        }
    }

    fn gave_up_creating(&self, gave_up: &GaveUp) -> anyhow::Error {
        let seeded = match self.options.seed_emulator {
            true => " --seed-emulator false",
            false => "",
        };
        self.gave_up(&self.api.name, gave_up, seeded)
            .context(self.summary.to_string())
    }

    /// The error of a server that failed too long, and how to go on when it is back.
    fn gave_up(&self, name: &str, gave_up: &GaveUp, more_options: &str) -> anyhow::Error {
        anyhow!(
            "gave up: {name} failed for {:.0} s ({}); to go on where this run ended, start it again with the same \
             options and --seed {}{more_options}: what is there already is not created twice",
            gave_up.tried.as_secs_f64(),
            gave_up.reason,
            self.summary.seed
        )
    }
}

fn read_trackings(answer: &Answer, expected: usize) -> Result<Vec<Tracking>, String> {
    let created: Created = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{} with an unreadable answer: {error}", answer.status))?;
    match created.trackings.len() {
        count if count == expected => Ok(created.trackings),
        count => Err(format!("{count} trackings answered for {expected} items")),
    }
}

fn without<'a>(items: &[&'a Parcel], problem: &Problem) -> Vec<&'a Parcel> {
    let places = items.iter().enumerate();
    places
        .filter(|(index, _)| !problem.bad_items.contains_key(index))
        .map(|(_, &item)| item)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
