//! What real carriers sent, through the real adapters and the whole pipe.
//!
//! Times, texts and codes are facts from public bug reports and recorded answers (read November 2026); numbers and people are
//! replaced. Each case tells its answers one after the other, and what a person should see after each.

mod files;
mod histories;
mod reading;

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::DropGuard;
use trackbox::model::status::{Direction, Status};
use trackbox::model::tenant::Tenant;
use trackbox::model::{CarrierCode, TrackNumber, Tracking};

use crate::support::fixture::{code, number, read};
use crate::support::pipe::{Pipe, Setup};
use crate::support::scripted::{self, Said, Script};

/// The pipe's time begins on 2026-11-20; the latest of these events is a week later.
const AFTER_ALL_EVENTS: Duration = Duration::from_secs(8 * 86_400);

/// One parcel: the answers, and the status and the way after each.
struct Case {
    adapter: &'static str,
    name: String,
    answers: Vec<(Said, Status, Direction)>,
}

/// In a further setting, the address of the script.
const URL: &str = "{url}";

/// A pipe whose two carriers, T24 and GD, answer by a script.
struct World {
    pipe: Pipe,
    script: Script,
    _carrier: DropGuard,
}

impl World {
    async fn new(further: &[(&'static str, &str)]) -> Self {
        let (script, url, carrier) = scripted::start().await;
        let mut settings = vec![
            ("CARRIERS__T24__ADAPTER", "track24".to_owned()),
            ("CARRIERS__T24__BASE_URL", url.clone()),
            ("CARRIERS__T24__API_KEY", "k3y".to_owned()),
            ("CARRIERS__T24__DOMAIN", "shop.example".to_owned()),
            ("CARRIERS__T24__TIME_ZONE", "Europe/Moscow".to_owned()),
            ("CARRIERS__T24__PER_MINUTE", "0".to_owned()),
            ("CARRIERS__GD__PER_MINUTE", "0".to_owned()),
            ("CARRIERS__GD__ADAPTER", "gdeposylka".to_owned()),
            ("CARRIERS__GD__BASE_URL", url.clone()),
            ("CARRIERS__GD__API_KEY", "k3y".to_owned()),
        ];
        settings.extend(
            further
                .iter()
                .map(|(key, value)| (*key, value.replace(URL, &url))),
        );
        let pipe = Pipe::new(Setup {
            limits: Vec::new(),
            settings,
            ..Setup::default()
        })
        .await;
        pipe.advance(AFTER_ALL_EVENTS);
        Self {
            pipe,
            script,
            _carrier: carrier,
        }
    }

    async fn create(&self, pairs: &[(CarrierCode, TrackNumber)]) -> Vec<Tracking> {
        let created =
            self.pipe
                .parts
                .current
                .create_or_get(Tenant::DEFAULT, pairs, self.pipe.clock.now());
        created.await.expect("creates")
    }

    async fn row(&self, id: i64) -> Tracking {
        read(&self.pipe.parts.store, id).await
    }

    /// Refreshes these parcels, and lets their answers take effect.
    async fn check_again(&mut self, ids: &[i64]) {
        self.pipe.advance(Duration::from_secs(31));
        for id in ids {
            let now = self.pipe.clock.now();
            let refreshed = self
                .pipe
                .parts
                .current
                .refresh(Tenant::DEFAULT, *id, now, |_| Duration::ZERO);
            refreshed.await.expect("refreshes");
        }
        self.pipe.run_for(Duration::from_millis(1_500)).await;
    }
}

/// Plays every case to its end, all at once.
async fn play(cases: Vec<Case>) {
    play_in(World::new(&[]).await, cases).await;
}

async fn play_in(mut world: World, cases: Vec<Case>) {
    let pairs: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(nth, case)| (code(case.adapter), number(&format!("N{nth}"))))
        .collect();
    let rounds = cases
        .iter()
        .map(|case| case.answers.len())
        .max()
        .unwrap_or(0);
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for round in 0..rounds {
        for (nth, case) in cases.iter().enumerate() {
            let (said, ..) = &case.answers[round.min(case.answers.len() - 1)];
            world.script.say(&format!("N{nth}"), said.clone());
        }
        if round == 0 {
            rows = world.create(&pairs).await;
            world.pipe.run_for(Duration::from_secs(3)).await;
        } else {
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            world.check_again(&ids).await;
        }
        for (case, row) in cases.iter().zip(&rows) {
            let Some((_, status, way)) = case.answers.get(round) else {
                continue;
            };
            let row = world.row(row.id).await;
            if (row.status, row.direction) != (*status, *way) || !row.last_error.is_empty() {
                wrong.push(format!(
                    "{} after answer {}: {} {} \"{}\" instead of {status} {way}; {}",
                    case.name,
                    round + 1,
                    row.status,
                    row.direction,
                    row.status_raw,
                    row.last_error
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An event of Track24: `time | attribute | type`.
fn event(text: &str) -> Value {
    let mut parts = text.split(" | ");
    let mut part = || parts.next().unwrap_or_default();
    json!({
        "operationDateTime": part(), "operationAttribute": part(), "operationType": part(),
        "operationPlaceName": "", "operationPlacePostalCode": "",
    })
}

/// Track24's answer with these events and further fields.
fn t24_with(events: &[&str], further: Value) -> Said {
    t24_of(events.iter().map(|text| event(text)).collect(), further)
}

fn t24_of(events: Vec<Value>, further: Value) -> Said {
    let mut data = json!({"events": events});
    if let (Value::Object(data), Value::Object(further)) = (&mut data, further) {
        data.extend(further);
    }
    Said::ok(json!({"status": "ok", "data": data}).to_string())
}

fn t24(events: &[&str]) -> Said {
    t24_with(events, json!({}))
}

/// gdeposylka's answer with checkpoints `time | status`.
fn gd(checkpoints: &[&str]) -> Said {
    let checkpoints: Vec<Value> = checkpoints
        .iter()
        .map(|text| {
            let (time, status) = text.split_once(" | ").expect("has two parts");
            json!({"time": time, "status": status, "message": "", "location": "", "postal_code": ""})
        })
        .collect();
    Said::ok(json!({"status": "ok", "checkpoints": checkpoints}).to_string())
}

fn case(name: &str, answers: Vec<(Said, Status)>) -> Case {
    let forward = |(said, status)| (said, status, Direction::Forward);
    Case {
        adapter: "T24",
        name: name.to_owned(),
        answers: answers.into_iter().map(forward).collect(),
    }
}

fn way(name: &str, answers: Vec<(Said, Status, Direction)>) -> Case {
    Case {
        adapter: "T24",
        name: name.to_owned(),
        answers,
    }
}

const ACCEPTED: &str = "20.11.2026 14:19:00 | Прием";
const DELIVERED: &str = "25.11.2026 10:00:00 | Вручение адресату | Вручение";
