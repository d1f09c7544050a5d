//! `all --demo --speed N`: the same parcels under two policies with the same number of calls, on one clock that runs N
//! times as fast, so that a viewer sees which one is fresher.
//!
//! The parcels and their events are those of the simulation's default courier, and the emulator tells what has happened
//! by then. An event is unseen until it is in the history.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::options::{Options, Progress};
use trackbox_emulator::scenario::{Parcel, Step};

use crate::app::parts::Parts;
use crate::clock::{Clock, Time, at_hours, hours};
use crate::config::{CarrierSection, Config, Policy, SecretUrl, Span};
use crate::demo::line::live_line;
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, TrackNumber};
use crate::plan::parcel::weight_of;
use crate::simulate::process::{DEFAULT, JourneyStage, Process};
use crate::simulate::trace::journeys;
use crate::store::events::SeenEvent;

/// The two carriers, one for each policy. Each number is known to both.
const RACERS: [(&str, Policy); 2] = [("FIXED", Policy::Fixed), ("LEARNED", Policy::Learned)];

/// Calls a day and parcel, and how many parcels one call a minute serves at that rate.
const CALLS_A_DAY: u32 = 8;
const PARCELS_PER_CALL: u32 = 24 * 60 / CALLS_A_DAY;

/// For how many days there are parcels.
const DAYS: f64 = 60.0;

/// How much of the time before is shown.
const SHOWN: TimeDelta = TimeDelta::hours(24);

/// How often parcels are handed in and the histories are read, in real time.
const STEP_EVERY: Duration = Duration::from_millis(200);

/// The most parcels handed in, and events read, at once.
const BATCH: u32 = 10_000;

/// Calls a minute of the fast clock.
fn per_minute(parcels: u32) -> u32 {
    parcels.div_ceil(PARCELS_PER_CALL)
}

/// How many parcels are under way at a time if `parcels` are asked for: as many as a whole number of calls a minute serves.
pub fn under_way(parcels: u32) -> u32 {
    per_minute(parcels).saturating_mul(PARCELS_PER_CALL)
}

/// Two carriers with the same limit, each with its policy; the cadence is that of real carriers.
pub fn adapt(config: &mut Config, emulator: &SecretUrl, parcels: u32) {
    let sections = RACERS.map(|(code, policy)| {
        let section = CarrierSection {
            adapter: "emulator".to_owned(),
            base_url: emulator.clone(),
            per_minute: Some(per_minute(parcels)),
            policy: Some(policy),
            ..CarrierSection::default()
        };
        (code.to_owned(), section)
    });
    config.carriers = BTreeMap::from(sections);
    let normal = Config::default().work;
    config.work.next_check_in_transit_min = normal.next_check_in_transit_min;
    config.work.next_check_in_transit_max = normal.next_check_in_transit_max;
    config.work.next_check_unknown = normal.next_check_unknown;
    config.work.backoff = normal.backoff;
    config.work.recheck_after = normal.recheck_after;
    config.work.poll_interval = Span::from_millis(50);
}

/// An emulator whose parcels travel by the fast clock. Calls are counted by the real one, against as many times the
/// limit.
pub fn make_emulator(parcels: u32, clock: &Clock) -> Emulator {
    let limit = per_minute(parcels).saturating_mul(clock.speed());
    let options = Options {
        progress: Progress::Clock,
        limits: RACERS
            .iter()
            .map(|(code, _)| ((*code).to_owned(), limit))
            .collect(),
        ..Options::default()
    };
    let (fast, real) = (clock.clone(), trackbox_emulator::time::Time::system());
    let time = trackbox_emulator::time::Time::new(
        move || fast.now(),
        |wait| Box::pin(tokio::time::sleep(wait)),
    );
    Emulator::counting_by(options, time, real)
}

/// Creates the parcels as they become known, and draws the live line until `stop`.
pub async fn run(
    parts: Parts,
    parcels: u32,
    emulator: Emulator,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let began = parts.clock.now();
    let mut travellers = make(parcels, began)?;
    for (code, _) in RACERS {
        let seeds = travellers.iter().map(|it| it.seed(code)).collect();
        emulator
            .seed(seeds)
            .context("the emulator refuses the demo's parcels")?;
    }
    tracing::info!(
        "a race at {CALLS_A_DAY} calls a parcel and day: minutes from an event to its place in the history, the mean of \
         the last 24 h by weight; a day takes {:.0} s",
        parts.clock.real(Duration::from_secs(86_400)).as_secs_f64()
    );
    let (line, every) = live_line();
    let mut standings = Standings::default();
    let mut drawn = Instant::now();
    while !stop.is_cancelled() {
        hand_in(&parts, &mut travellers).await;
        standings.read(&parts).await;
        if drawn.elapsed() >= every {
            drawn = Instant::now();
            let text = standings.text(parts.clock.now() - began);
            if line.is_hidden() {
                tracing::info!("{text}");
            } else {
                line.set_message(text);
                line.tick();
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(STEP_EVERY) => {}
        }
    }
    line.finish_and_clear();
    Ok(())
}

/// A number that both carriers know, and what happens to it.
struct Traveller {
    number: String,
    known_at: Time,
    steps: Vec<Step>,
}

impl Traveller {
    fn seed(&self, carrier: &str) -> Parcel {
        Parcel {
            carrier: carrier.to_owned(),
            track_number: self.number.clone(),
            step_seconds: 0,
            progress_prob: 0.0,
            postal_code: None,
            steps: self.steps.clone(),
        }
    }
}

/// The default courier's parcels, so many at a time, from the last one that becomes known to the first.
///
/// The journeys begin on a Monday, so the race begins at this hour of the journeys' first week.
fn make(parcels: u32, began: Time) -> anyhow::Result<Vec<Traveller>> {
    const WEEK: f64 = 7.0 * 24.0;
    let process = Process::read(DEFAULT)?;
    let courier = process.carriers.first().context("there is no carrier")?;
    let mut courier = courier.clone();
    courier.per_day *= f64::from(under_way(parcels)) / courier.parcels;
    let begins = hours(began).rem_euclid(WEEK);
    let time = |at: f64| at_hours(hours(began) - begins + at);
    let mut travellers = Vec::new();
    let journeys = journeys(&courier, 1, WEEK + DAYS * 24.0, false)?;
    for (place, journey) in journeys.into_iter().enumerate() {
        let (Some((known_at, _)), Some((ends, _))) =
            (journey.events.first(), journey.events.last())
        else {
            continue;
        };
        if *ends <= begins {
            continue;
        }
        let steps = journey.events.iter().map(|(at, stage)| Step {
            event_time: Some(time(*at)),
            ..step(&courier.stages[*stage])
        });
        travellers.push(Traveller {
            number: format!("RACE{place:06}"),
            known_at: time(*known_at),
            steps: steps.collect(),
        });
    }
    travellers.sort_by_key(|traveller| std::cmp::Reverse(traveller.known_at));
    Ok(travellers)
}

/// What the emulated carriers say of a stage, in words whose sub-status is known.
fn step(stage: &JourneyStage) -> Step {
    let (status, raw) = match stage.name.as_str() {
        "LABEL" => ("INFO_RECEIVED", "CREATED"),
        "ACCEPTED" => ("IN_TRANSIT", "Принято в отделении связи"),
        "HUB_ARRIVED" => ("IN_TRANSIT", "Прибыло в сортировочный центр"),
        "HUB_LEFT" => ("IN_TRANSIT", "Покинуло сортировочный центр"),
        "CITY_ARRIVED" => ("IN_TRANSIT", "Прибыло в место вручения"),
        "OUT_FOR_DELIVERY" => ("OUT_FOR_DELIVERY", "Передано курьеру"),
        "ATTEMPT_FAILED" => ("ATTEMPT_FAILED", "Неудачная попытка вручения"),
        "EXCEPTION" => ("EXCEPTION", "Задержано в пути"),
        "PICKUP" => ("AVAILABLE_FOR_PICKUP", "Ожидает адресата"),
        "DELIVERED" => ("DELIVERED", "Вручено адресату"),
        other => ("UNKNOWN", other),
    };
    Step::new(status, raw, "Москва")
}

/// Creates the parcels that became known meanwhile, at both carriers.
async fn hand_in(parts: &Parts, travellers: &mut Vec<Traveller>) {
    let now = parts.clock.now();
    let first = travellers.partition_point(|traveller| traveller.known_at > now);
    let pairs: Vec<(CarrierCode, TrackNumber)> = travellers[first..]
        .iter()
        .flat_map(|traveller| RACERS.map(|(code, _)| (code, traveller.number.as_str())))
        .filter_map(|(code, number)| {
            Some((
                CarrierCode::parse(code).ok()?,
                TrackNumber::parse(number).ok()?,
            ))
        })
        .collect();
    for batch in pairs.chunks(BATCH as usize) {
        if let Err(error) = parts
            .current
            .create_or_get(Tenant::DEFAULT, batch, now)
            .await
        {
            tracing::warn!("cannot create parcels, trying again: {error}");
            return;
        }
    }
    travellers.truncate(first);
}

/// An event that counts.
struct Seen {
    racer: usize,
    event_time: Time,
    minutes: f64,
    weight: f64,
}

/// How fresh each policy is.
#[derive(Default)]
struct Standings {
    last_id: i64,
    /// Of the last days.
    seen: VecDeque<Seen>,
    failed: bool,
}

impl Standings {
    /// Takes note of what came into the histories.
    async fn read(&mut self, parts: &Parts) {
        match parts.store.events_after(self.last_id, BATCH).await {
            Ok(events) => {
                self.failed = false;
                for event in events {
                    self.last_id = event.id;
                    self.note(&event);
                }
            }
            Err(error) => {
                if !self.failed {
                    tracing::warn!("the standings stay as they were: {error}");
                }
                self.failed = true;
            }
        }
        let old = parts.clock.now() - SHOWN;
        self.seen.retain(|seen| seen.event_time >= old);
    }

    fn note(&mut self, event: &SeenEvent) {
        let racer = RACERS
            .iter()
            .position(|(code, _)| *code == event.carrier_code);
        // What happened before the parcel was handed in says nothing of a policy.
        if let Some(racer) = racer.filter(|_| event.event_time > event.tracked_at) {
            let unseen = event.seen_at - event.event_time;
            self.seen.push_back(Seen {
                racer,
                event_time: event.event_time,
                minutes: unseen.num_milliseconds() as f64 / 60_000.0,
                weight: weight_of(event.status),
            });
        }
    }

    /// The weighted mean of a racer, in minutes.
    fn mean(&self, racer: usize) -> Option<f64> {
        let ours = self.seen.iter().filter(|seen| seen.racer == racer);
        let (sum, weights) = ours.fold((0.0, 0.0), |(sum, weights), seen| {
            (sum + seen.minutes * seen.weight, weights + seen.weight)
        });
        (weights > 0.0).then(|| sum / weights)
    }

    fn text(&self, passed: TimeDelta) -> String {
        let (days, hour) = (passed.num_days(), passed.num_hours() % 24);
        match (self.mean(0), self.mean(1)) {
            (Some(fixed), Some(learned)) => format!(
                "day {days}, {hour:02} h | fixed {fixed:.0} min | learned {learned:.0} min | {:.2} times as fresh",
                fixed / learned.max(1e-9)
            ),
            _ => format!("day {days}, {hour:02} h | no events yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{RACERS, Standings, make, step};
    use crate::carriers::words::meaning_of_two;
    use crate::model::fixture::at;
    use crate::model::status::Status;
    use crate::simulate::process::{DEFAULT, Process};
    use crate::store::events::SeenEvent;

    #[test]
    fn every_stage_of_the_courier_has_a_code_of_its_own() {
        let process = Process::read(DEFAULT).expect("the default process");
        let mut codes = BTreeSet::new();
        for stage in &process.carriers[0].stages {
            let step = step(stage);
            assert_ne!(step.status, "UNKNOWN", "{}", stage.name);
            let sub_status = meaning_of_two(&step.status_raw, "")
                .filter(|meaning| meaning.status.as_str() == step.status)
                .and_then(|meaning| meaning.sub_status);
            codes.insert((step.status, sub_status));
        }
        assert_eq!(codes.len(), process.carriers[0].stages.len());
    }

    #[test]
    fn about_as_many_parcels_are_under_way_as_were_asked_for() {
        let parcels = make(360, at(0)).expect("makes them");
        let there = parcels.iter().filter(|it| it.known_at <= at(0)).count();
        assert!((290..430).contains(&there), "{there}");
        assert!((parcels[0].known_at - at(0)).num_days() > 55);
        let ends = |it: &super::Traveller| it.steps.last().and_then(|step| step.event_time);
        assert!(parcels.iter().all(|it| ends(it) > Some(at(0))));
    }

    #[test]
    fn only_what_happened_under_our_eyes_counts_by_its_weight() {
        let mut standings = Standings::default();
        let mut note = |racer: usize, status, event: i64, seen: i64| {
            standings.note(&SeenEvent {
                id: 1,
                carrier_code: RACERS[racer].0.to_owned(),
                status,
                event_time: at(event * 60),
                seen_at: at(seen * 60),
                tracked_at: at(0),
            });
        };
        note(0, Status::InTransit, -5, 100);
        note(0, Status::InTransit, 10, 100);
        note(0, Status::Delivered, 10, 40);
        note(1, Status::InTransit, 10, 30);
        assert_eq!(standings.mean(0), Some((90.0 + 5.0 * 30.0) / 6.0));
        let text = standings.text(chrono::TimeDelta::hours(30));
        assert_eq!(
            text,
            "day 1, 06 h | fixed 40 min | learned 20 min | 2.00 times as fresh"
        );
    }
}
