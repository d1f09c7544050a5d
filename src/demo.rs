//! `trackbox all --demo`: brings its own carriers and parcels, and shows what becomes of them.

pub mod line;
pub mod race;

use std::path::Path;

use anyhow::{Context as _, bail};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::journeys::journey;
use trackbox_emulator::options::{Options, Progress};
use trackbox_emulator::scenario::Parcel;
use trackbox_emulator::time::Time;
use trackbox_generator::numbers;

use crate::app::parts::Parts;
use crate::app::servers::Needed;
use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::{Config, SecretUrl};
use crate::demo::line::live_line;
use crate::model::status::Status;
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, TrackNumber};

/// The demo's carriers and the calls a minute that both sides allow there.
const CARRIERS: &[(&str, u32)] = &[("CDEK", 1_200), ("POST_RU", 600)];

/// The demo's database, in the folder it is started from.
const DATABASE: &str = "trackbox-demo.db";

/// Shortest and longest mean time between two steps of a parcel.
const STEP_SECS: std::ops::RangeInclusive<u64> = 5..=11;

/// The most parcels seeded or created at once.
const BATCH: usize = 10_000;

/// The options of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    pub parcels: u32,
    /// Goes on with the last demo's database.
    pub keep: bool,
    /// How many times as fast the clock runs; if given, the demo is a race of two policies.
    pub speed: Option<u32>,
}

impl Demo {
    /// How many parcels are under way at its start.
    pub fn under_way(&self) -> u32 {
        match self.speed {
            Some(_) => race::under_way(self.parcels),
            None => self.parcels,
        }
    }
}

/// Points the configuration at the demo's own database, bus, cache and carriers.
fn adapt(config: &mut Config, demo: &Demo) {
    config.store.url = SecretUrl::new(format!("sqlite://{DATABASE}"));
    // Its parcels are invented, so they must reach no real topic or cache.
    config.kafka.brokers.clear();
    config.redis.url = SecretUrl::new("");
    // So anyone who can reach it may look at it too, even from outside a container.
    config.http.open = true;
    let emulator = SecretUrl::new(format!("http://{}", config.demo.emulator_listen));
    if demo.speed.is_some() {
        race::adapt(config, &emulator, demo.parcels);
        return;
    }
    for (code, per_minute) in CARRIERS {
        if let Some(carrier) = config.carriers.get_mut(*code) {
            carrier.base_url.clone_from(&emulator);
            carrier.per_minute = Some(*per_minute);
        }
    }
    for carrier in config.carriers.values_mut() {
        if carrier.adapter.starts_with("emulator") {
            carrier.base_url.clone_from(&emulator);
        }
    }
}

/// Runs every role beside the emulator of carriers and the demo's parcels, until a signal stops them.
///
/// # Errors
/// If a port is taken, another demo runs in this folder, or a part of the process fails.
pub async fn run(mut config: Config, demo: Demo) -> anyhow::Result<()> {
    adapt(&mut config, &demo);
    app::until_stopped(app::stop_max(&config), async |stop| {
        let locked = App::lock(config.clone(), app::ROLES).await?;
        if !demo.keep {
            remove_database()?;
        }
        let clock = demo.speed.map_or_else(Clock::system, Clock::fast);
        let emulator = make_emulator(&config, &demo, &clock)?;
        let listen = config.demo.emulator_listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen} (demo.emulator_listen)"))?;
        let mut app = locked.connect(clock).await?;
        app.need(Needed {
            name: "emulator",
            address: listen,
            announcement: vec![
                format!("carriers   http://{listen}   emulated: /v1/admin/ledger /v1/admin/truth"),
                format!(
                    "{} parcels are on their way; Ctrl-C ends the demo",
                    demo.under_way()
                ),
            ],
        });
        let serving = emulator.clone();
        app.also("emulator", |stop| {
            trackbox_emulator::serve::serve(serving, listener, stop)
        });
        let parts = app.parts.clone();
        app.also("demo", |_| travel(parts, demo, emulator, stop));
        Ok(app)
    })
    .await
}

/// Removes the last demo's database. Only a process that holds the lock on it may.
///
/// # Errors
/// If a file cannot be removed.
fn remove_database() -> anyhow::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let file = format!("{DATABASE}{ending}");
        if Path::new(&file).exists() {
            std::fs::remove_file(&file)
                .with_context(|| format!("cannot remove the last demo's {file}"))?;
        }
    }
    Ok(())
}

/// The emulator: the limits are those of the demo's carriers, and its parcels travel by the clock.
fn make_emulator(config: &Config, demo: &Demo, clock: &Clock) -> anyhow::Result<Emulator> {
    if config.demo.emulator_listen.port() == 0 {
        bail!("demo.emulator_listen needs a port: the carriers' addresses name it");
    }
    if demo.speed.is_some() {
        return Ok(race::make_emulator(demo.parcels, clock));
    }
    let limits = CARRIERS
        .iter()
        .map(|(code, limit)| ((*code).to_owned(), *limit))
        .collect();
    let options = Options {
        progress: Progress::Clock,
        limits,
        ..Options::default()
    };
    Ok(Emulator::new(options, Time::system()))
}

/// Makes the parcels, then draws the live line until `stop`.
async fn travel(
    parts: Parts,
    demo: Demo,
    emulator: Emulator,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if demo.speed.is_some() {
        return race::run(parts, demo.parcels, emulator, stop).await;
    }
    let pairs = make_parcels(&emulator, demo.parcels)?;
    for batch in pairs.chunks(BATCH) {
        parts
            .current
            .create_or_get(Tenant::DEFAULT, batch, parts.clock.now())
            .await
            .context("cannot create the demo's parcels")?;
    }
    parts.trigger.notify_one();
    show(parts, stop).await;
    Ok(())
}

/// Numbers with varied journeys, known to the emulator.
fn make_parcels(
    emulator: &Emulator,
    count: u32,
) -> anyhow::Result<Vec<(CarrierCode, TrackNumber)>> {
    let seed = 1;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut parcels = Vec::new();
    let mut pairs = Vec::new();
    for place in 0..count as usize {
        let (carrier, _) = CARRIERS[place % CARRIERS.len()];
        let number = numbers::make(carrier, &mut rng);
        let steps = journey(carrier, &number, seed);
        let span = STEP_SECS.end() - STEP_SECS.start() + 1;
        parcels.push(Parcel {
            carrier: carrier.to_owned(),
            track_number: number.clone(),
            step_seconds: STEP_SECS.start() + place as u64 % span,
            progress_prob: 0.0,
            postal_code: None,
            steps,
        });
        pairs.push((CarrierCode::parse(carrier)?, TrackNumber::parse(number)?));
    }
    emulator
        .seed(parcels)
        .context("the emulator refuses the demo's parcels")?;
    Ok(pairs)
}

/// One line: parcels by status, and checks a second.
async fn show(parts: Parts, stop: CancellationToken) {
    let (line, every) = live_line();
    let mut checks_before = parts.stats.processed_total();
    let mut told_the_end = false;
    loop {
        let began = std::time::Instant::now();
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(every) => {}
        }
        let checks = parts.stats.processed_total();
        let per_second =
            checks.saturating_sub(checks_before) as f64 / began.elapsed().as_secs_f64();
        checks_before = checks;
        let Ok(counts) = parts.store.status_counts().await else {
            continue;
        };
        let total: u64 = counts.values().sum();
        let done: u64 = counts
            .iter()
            .filter(|(status, _)| status.is_terminal())
            .map(|(_, n)| n)
            .sum();
        let text = format!("{per_second:.1} checks/s | {}", by_status(&counts));
        if line.is_hidden() {
            if !told_the_end {
                tracing::info!("{text}");
            }
        } else {
            line.set_message(text);
            line.tick();
        }
        if done == total && total > 0 && !told_the_end {
            told_the_end = true;
            line.suspend(|| {
                tracing::info!("all {total} parcels have arrived; Ctrl-C ends the demo")
            });
        }
    }
    line.finish_and_clear();
}

fn by_status(counts: &std::collections::BTreeMap<Status, u64>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(status, count)| {
            format!(
                "{count} {}",
                status.as_str().to_lowercase().replace('_', " ")
            )
        })
        .collect();
    words.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::{Demo, adapt};
    use crate::carriers::routes::Routes;
    use crate::config::{Config, Preset};

    #[test]
    fn invented_parcels_reach_no_topic_cache_or_database_but_the_demos() {
        let variables = [
            ("TRACKBOX_STORE__URL", "postgres://me@db/real"),
            ("TRACKBOX_KAFKA__BROKERS", "kafka:9092"),
            ("TRACKBOX_REDIS__URL", "redis://cache"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut config = Config::load(None, variables.to_vec(), Some(Preset::Demo), Routes::check)
            .expect("is good");
        let demo = Demo {
            parcels: 200,
            keep: false,
            speed: None,
        };
        adapt(&mut config, &demo);
        assert_eq!(config.store.url.expose(), "sqlite://trackbox-demo.db");
        assert!(config.kafka.brokers.is_empty() && config.redis.url.is_empty());
    }
}
