//! What carriers push: each parcel's report after each of its steps, signed, in any order, some twice, and forgeries between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::http::v1;
use crate::moving::Report;

/// The header with the signature: HMAC-SHA256 of the body, in hexadecimal.
pub const SIGNATURE: &str = "x-emulator-signature";

/// How often a body is sent again after 503 or no answer, and how long after.
const TRIES_MAX: usize = 5;
const TRY_AFTER: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// The raw status of every event that a forger made up.
pub const FORGED: &str = "FORGED";

/// Where to, and what is mixed into it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushing {
    pub carrier: String,
    /// The whole address.
    pub to: String,
    /// What bodies are signed with.
    pub key: String,
    /// How many repetitions and forgeries there are for each body.
    #[serde(default)]
    pub repeated: f64,
    #[serde(default)]
    pub forged: f64,
    /// How many are under way at once.
    #[serde(default = "at_once")]
    pub at_once: usize,
    #[serde(default)]
    pub seed: u64,
}

fn at_once() -> usize {
    32
}

/// One request.
#[derive(Clone, Debug)]
struct Push {
    to: String,
    body: Vec<u8>,
    signature: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    pub genuine: usize,
    pub repeated: usize,
    pub forged: usize,
    /// How many were sent again after 503 or no answer.
    pub again: usize,
    /// How many were answered with each status at last; 0: not at all.
    pub answers: BTreeMap<u16, usize>,
    /// Times to the first answer of the genuine ones, in ms.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub secs: f64,
}

fn signed(body: &[u8], key: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body);
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

impl Pushing {
    fn genuine(&self, number: &str, report: &Report) -> Push {
        let body = v1::body(&self.carrier, number, report)
            .to_string()
            .into_bytes();
        Push {
            to: self.to.clone(),
            signature: Some(signed(&body, &self.key)),
            body,
        }
    }

    /// Something that no carrier sent: that the parcel of a genuine body has arrived.
    fn forgery(&self, genuine: &Push, chance: &mut StdRng) -> Push {
        let mut body: Value = serde_json::from_slice(&genuine.body).unwrap_or_default();
        let time = body["status_at"].clone();
        body["status"] = json!("DELIVERED");
        body["status_raw"] = json!(FORGED);
        body["events"] = json!([{
            "status": "DELIVERED", "status_raw": FORGED, "event_time": time, "location": "", "message": "",
        }]);
        let body = body.to_string().into_bytes();
        let (to, signature) = match chance.random_range(0..4) {
            0 => (self.to.clone(), None),
            1 => (self.to.clone(), Some(signed(&body, "a guess"))),
            // Of another body.
            2 => (self.to.clone(), genuine.signature.clone()),
            _ => (format!("{}x", self.to), Some(signed(&body, &self.key))),
        };
        Push {
            to,
            body,
            signature,
        }
    }
}

impl Emulator {
    /// Pushes every report that the carrier's parcels have had so far.
    pub async fn push(&self, pushing: &Pushing) -> Pushed {
        let mut chance = StdRng::seed_from_u64(pushing.seed);
        let mut pushed = Pushed::default();
        let mut all: Vec<(Push, bool)> = Vec::new();
        for (number, reports) in self.reports(&pushing.carrier) {
            for report in reports {
                let genuine = pushing.genuine(&number, &report);
                pushed.genuine += 1;
                for _ in 0..times(pushing.repeated, &mut chance) {
                    all.push((genuine.clone(), true));
                    pushed.repeated += 1;
                }
                for _ in 0..times(pushing.forged, &mut chance) {
                    all.push((pushing.forgery(&genuine, &mut chance), false));
                    pushed.forged += 1;
                }
                all.push((genuine, true));
            }
        }
        all.shuffle(&mut chance);
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let began = Instant::now();
        let sent = futures_util::stream::iter(all).map(|(push, is_genuine)| {
            let client = client.clone();
            async move {
                let (mut status, took) = send(&client, push.clone()).await;
                let mut again = 0;
                while matches!(status, 0 | 503) && again < TRIES_MAX {
                    tokio::time::sleep(TRY_AFTER).await;
                    again += 1;
                    (status, _) = send(&client, push.clone()).await;
                }
                (status, is_genuine.then_some(took), again)
            }
        });
        let sent: Vec<(u16, Option<Duration>, usize)> = sent
            .buffer_unordered(pushing.at_once.max(1))
            .collect()
            .await;
        pushed.secs = began.elapsed().as_secs_f64();
        for (status, _, again) in &sent {
            *pushed.answers.entry(*status).or_default() += 1;
            pushed.again += again;
        }
        let times = sent.into_iter().filter_map(|(_, took, _)| took);
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            let time = times.get(place.min(times.len().saturating_sub(1)));
            time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
        };
        (pushed.p50_ms, pushed.p99_ms, pushed.max_ms) = (at(0.5), at(0.99), at(1.0));
        pushed
    }
}

/// A whole number whose mean is `rate`.
fn times(rate: f64, chance: &mut StdRng) -> usize {
    let rate = rate.clamp(0.0, 100.0);
    rate.floor() as usize + usize::from(chance.random_bool(rate.fract()))
}

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

/// The status of the answer, 0 if there was none, and how long it took.
async fn send(client: &Http, push: Push) -> (u16, Duration) {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(push.to)
        .header(CONTENT_TYPE, "application/json");
    if let Some(signature) = push.signature {
        request = request.header(SIGNATURE, signature);
    }
    let began = Instant::now();
    let sending = async {
        let request = request.body(Full::new(Bytes::from(push.body))).ok()?;
        let answer = client.request(request).await.ok()?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await.ok()?;
        Some(status)
    };
    let status = tokio::time::timeout(ANSWER_MAX, sending).await;
    (status.ok().flatten().unwrap_or(0), began.elapsed())
}
