//! `trackbox simulate`: compares policies on invented carriers, minute by minute, with the planning code of production.
//!
//! For one seed, every policy gets the same parcels and the same number of calls. It is judged by how long events stayed
//! unseen. The ratio says how many times fresher a policy is than the fixed one.

pub mod account;
pub mod activity;
pub mod bound;
pub mod plot;
pub mod process;
pub mod queue;
pub mod rates;
pub mod report;
pub mod run;
pub mod setting;
pub mod tally;
pub mod trace;

use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::simulate::account::{InventedAccount, accounts};
use crate::simulate::bound::Bound;
use crate::simulate::process::Process;
use crate::simulate::report::{Comparison, Figures};
use crate::simulate::run::Run;
use crate::simulate::setting::{Contender, Import, Setting};
use crate::simulate::tally::Tally;

/// The options of a simulation.
#[derive(clap::Args, Clone, Debug)]
pub struct Simulation {
    /// TOML file with the carriers and their parcels' journeys [default: the built-in tools/processes/default.toml]
    #[arg(long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Policies to compare, separated by commas; fixed is always added, as the reference
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "fixed,learned"
    )]
    pub policy: Vec<Contender>,
    /// Checks a day for each parcel, separated by commas: 2 is scarce, 8 medium, 48 ample
    #[arg(long, value_delimiter = ',', default_value = "8", value_parser = load)]
    pub load: Vec<f64>,
    /// One seed such as 3, or a range such as 1..6; more seeds give narrower intervals
    #[arg(long, default_value = "1", value_parser = seeds)]
    pub seeds: Seeds,
    /// How many days to simulate
    #[arg(long, default_value_t = 42, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub days: u16,
    /// First day whose events count; the days before are for learning
    #[arg(long, default_value_t = 14)]
    pub from: u16,
    /// Day at whose start events cease to count [default: two days before the end]
    #[arg(long)]
    pub to: Option<u16>,
    /// Limit calls by the day instead of by the minute
    #[arg(long)]
    pub quota: bool,
    /// How many numbers a call takes; there are as many fewer calls
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3_000))]
    pub numbers: u16,
    /// So many times the parcels of the process, and the calls
    #[arg(long, default_value_t = 1.0, value_parser = times)]
    pub times: f64,
    /// Parcels already under way that become known all at once, at 10 o'clock of a day, such as 6000@day10
    #[arg(long, value_name = "PARCELS@dayDAY", value_parser = import)]
    pub import: Option<Import>,
    /// Numbers that always fail, as a share of the other parcels, such as 3%
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub failing: f64,
    /// Minutes until a carrier shows an event
    #[arg(long, value_name = "MINUTES", default_value_t = 0.0, value_parser = minutes)]
    pub lag: f64,
    /// Share of calls that fail, in addition to outages of a carrier
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    pub pfail: f64,
    /// Make each parcel's lane faster or slower than others, which no policy knows
    #[arg(long)]
    pub het: bool,
    /// Move all activity twelve hours later from this day on
    #[arg(long, value_name = "DAY")]
    pub drift: Option<u16>,
    /// Never forget what was learned: shows the use of forgetting
    #[arg(long, hide = true)]
    pub keep: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Draw the staleness of each policy into this file
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// A range of seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let number = |text: &str| {
        text.parse::<u64>().map_err(|_| {
            format!("{text:?} is not a seed: give one such as 3, or a range such as 1..6")
        })
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last || last - first >= 100 {
        return Err(
            "a range has at most 100 seeds, the smaller number first, such as 1..6".to_owned(),
        );
    }
    Ok(Seeds((first..=last).collect()))
}

fn bounded(text: &str, max: f64, what: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be {what} from 0 to {max}")),
    }
}

fn load(text: &str) -> Result<f64, String> {
    let load = bounded(text, 1_440.0, "calls a day for each parcel")?;
    if load < 0.01 {
        return Err("must be at least 0.01 calls a day for each parcel".to_owned());
    }
    Ok(load)
}

fn minutes(text: &str) -> Result<f64, String> {
    bounded(text, 1_440.0, "minutes")
}

/// A share such as 0.03, or 3%.
fn share(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%') {
        Some(percent) => Ok(bounded(percent, 100.0, "a percentage")? / 100.0),
        None => bounded(text, 1.0, "a share"),
    }
}

fn times(text: &str) -> Result<f64, String> {
    let times = bounded(text, 100.0, "a number")?;
    if times < 0.01 {
        return Err("must be at least 0.01".to_owned());
    }
    Ok(times)
}

fn import(text: &str) -> Result<Import, String> {
    /// The hour of the day at which an import comes.
    const HOUR: f64 = 10.0;
    let (parcels, day) = text
        .split_once("@day")
        .ok_or("give the number of parcels and the day, such as 6000@day10")?;
    let parcels = bounded(parcels, 1e6, "a number of parcels")?;
    let day = day
        .parse::<u16>()
        .map_err(|_| format!("{day:?} is not a day: give a whole number such as 10"))?;
    Ok(Import {
        parcels,
        at: f64::from(day) * 24.0 + HOUR,
    })
}

/// One policy at one load with one seed.
#[derive(Clone, Copy)]
struct Job {
    policy: Contender,
    setting: Setting,
}

/// Runs a simulation and prints the comparison.
///
/// # Errors
/// The process cannot be read, the days that count lie outside those simulated, or the plot cannot be written.
pub fn simulate(simulation: &Simulation) -> anyhow::Result<()> {
    let report = compare(simulation)?;
    if simulation.json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.table());
    }
    if let Some(file) = &simulation.plot {
        std::fs::write(file, plot::svg(&report))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("drew {}", file.display());
    }
    Ok(())
}

/// Runs all policies, loads and seeds, with one thread for each processor.
///
/// # Errors
/// As [`simulate`].
pub fn compare(simulation: &Simulation) -> anyhow::Result<Comparison> {
    let text = match &simulation.process {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?,
        None => process::DEFAULT.to_owned(),
    };
    let named = simulation
        .process
        .as_ref()
        .map_or("the default process".to_owned(), |file| {
            file.display().to_string()
        });
    let mut process = Process::read(&text).with_context(|| named.clone())?;
    process.multiply(simulation.times);
    if let Some(day) = simulation.drift {
        process.shift(f64::from(day) * 24.0);
    }
    let to = simulation.to.unwrap_or(simulation.days.saturating_sub(2));
    ensure!(
        simulation.from < to && to <= simulation.days,
        "events of day {} to day {to} should count, but days 0 to {} are simulated: change --from, --to or --days",
        simulation.from,
        simulation.days
    );
    let end = f64::from(simulation.days) * 24.0;
    ensure!(
        simulation.import.is_none_or(|import| import.at < end),
        "the import comes after the {} days that are simulated: change --import or --days",
        simulation.days
    );
    let mut policies = simulation.policy.clone();
    policies.push(Contender::Fixed);
    policies.sort_unstable();
    policies.dedup();
    let setting = |load: f64, seed: u64| Setting {
        load,
        seed,
        days: f64::from(simulation.days),
        from: f64::from(simulation.from),
        to: f64::from(to),
        quota: simulation.quota,
        numbers: usize::from(simulation.numbers),
        lag: simulation.lag / 60.0,
        failing_calls: simulation.pfail,
        failing_numbers: simulation.failing,
        import: simulation.import,
        own_lanes: simulation.het,
        forgets: !simulation.keep,
    };
    let jobs: Vec<Job> = simulation
        .load
        .iter()
        .flat_map(|load| simulation.seeds.0.iter().map(move |seed| (*load, *seed)))
        .flat_map(|(load, seed)| policies.iter().map(move |policy| (*policy, load, seed)))
        .map(|(policy, load, seed)| Job {
            policy,
            setting: setting(load, seed),
        })
        .collect();
    let accounts = accounts(&process);
    let bar =
        ProgressBar::new(jobs.len() as u64 * u64::from(simulation.days) * accounts.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent}% of {len} days, {eta} left")
    {
        bar.set_style(style);
    }
    let summaries = run_all(&accounts, &jobs, &bar)?;
    bar.finish_and_clear();
    let seed = simulation.seeds.0.first().copied().unwrap_or(1);
    let bound = bound(&accounts, &setting(1.0, seed))?;
    let bound = if simulation.quota {
        bound.by_day()
    } else {
        bound.by_minute()
    };
    Ok(Comparison::new(named, summaries, bound))
}

fn run_all(
    accounts: &[InventedAccount<'_>],
    jobs: &[Job],
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Figures>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, anyhow::Result<Figures>)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(place) else {
                        return;
                    };
                    let tally = run(accounts, job, bar);
                    let figures = tally.map(|tally| Figures::of(job.policy, &job.setting, &tally));
                    done.lock().push((place, figures));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, figures)| figures).collect()
}

/// The upper bound of the ratio.
fn bound(accounts: &[InventedAccount<'_>], setting: &Setting) -> anyhow::Result<Bound> {
    let mut bound = Bound::default();
    for account in accounts {
        let journeys = account.journeys(setting)?;
        bound.add(account, &journeys, setting.from, setting.to);
    }
    Ok(bound)
}

/// Runs a job for all accounts.
fn run(accounts: &[InventedAccount<'_>], job: &Job, bar: &ProgressBar) -> anyhow::Result<Tally> {
    let mut whole = Tally::default();
    for account in accounts {
        let journeys = account.journeys(&job.setting)?;
        let run = Run::new(account, &journeys, job.policy, job.setting);
        whole.add(run.run(|| bar.inc(1)));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
