//! Runs against a server of the test's own, which plays the API and the emulator and fails on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use trackbox_emulator::scenario::Parcel;

use super::{parcel, run_with};
use crate::numbers::make_all;
use crate::options::Options;
use crate::progress::{RunEvent, Summary};
use crate::retry::Patience;

const BEFORE_THE_RUN: &str = "2026-11-23T11:00:00Z";
const IN_THE_RUN: &str = "2026-11-23T13:00:00Z";
const DATE: &str = "Mon, 23 Nov 2026 12:00:00 GMT";

/// Short waits, but long time limits for a slow machine.
const QUICK: Patience = Patience {
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_millis(2),
    longest_retry_after: Duration::from_millis(2),
    give_up_after: Duration::from_secs(60),
    deadline: Duration::from_secs(10),
};

/// Installs the TLS provider that every client needs, for all the tests of the process.
pub(crate) fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("nothing else installs one");
    });
}

/// What the server does with a request instead of creating its trackings.
enum Misbehaviour {
    Answer(StatusCode, Value),
    /// Never answers.
    Hang,
    /// Accepts it, but says that this many trackings existed before.
    AlreadyThere(usize),
}

/// A server that keeps the requests it receives, and misbehaves at the first calls of the API.
#[derive(Clone, Default)]
struct Server {
    misbehaviours: Arc<Mutex<VecDeque<Misbehaviour>>>,
    requests: Arc<Mutex<Vec<(&'static str, Value)>>>,
}

impl Server {
    fn failing(misbehaviours: impl IntoIterator<Item = Misbehaviour>) -> Self {
        Self {
            misbehaviours: Arc::new(Mutex::new(misbehaviours.into_iter().collect())),
            ..Self::default()
        }
    }

    async fn create(State(server): State<Self>, body: String) -> Response {
        let body: Value = serde_json::from_str(&body).expect("the generator sends JSON");
        let items = body["items"].as_array().map_or(0, Vec::len);
        server.keep("create", body);
        let misbehaviour = server
            .misbehaviours
            .lock()
            .expect("no test panics with it")
            .pop_front();
        let already_there = match misbehaviour {
            None => 0,
            Some(Misbehaviour::AlreadyThere(count)) => count,
            Some(Misbehaviour::Hang) => std::future::pending().await,
            Some(Misbehaviour::Answer(status, problem)) => {
                return (status, [(header::DATE, DATE)], problem.to_string()).into_response();
            }
        };
        let created_at = |index| {
            if index < already_there {
                BEFORE_THE_RUN
            } else {
                IN_THE_RUN
            }
        };
        let trackings: Vec<_> = (0..items)
            .map(|index| json!({"id": "1", "createdAt": created_at(index)}))
            .collect();
        let answer = json!({"trackings": trackings}).to_string();
        ([(header::DATE, DATE)], answer).into_response()
    }

    async fn seed(State(server): State<Self>, body: String) -> String {
        server.keep(
            "seed",
            serde_json::from_str(&body).expect("the generator sends JSON"),
        );
        json!({"status": "ok"}).to_string()
    }

    fn keep(&self, call: &'static str, body: Value) {
        let mut requests = self.requests.lock().expect("no test panics with it");
        requests.push((call, body));
    }

    /// The numbers in each request to create trackings.
    fn sent(&self) -> Vec<Vec<String>> {
        let requests = self.requests.lock().expect("no test panics with it");
        let creates = requests.iter().filter(|(call, _)| *call == "create");
        creates.map(|(_, body)| numbers(body)).collect()
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/trackings", post(Self::create))
            .route("/v1/admin/seed-v1", post(Self::seed))
            .with_state(self.clone())
    }
}

fn numbers(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().expect("a list of items");
    let number = |item: &Value| item["trackNumber"].as_str().expect("a number").to_owned();
    items.iter().map(number).collect()
}

async fn listen() -> (TcpListener, Options) {
    install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let options = Options {
        api_base: base.clone(),
        emulator_base: base,
        count: 6,
        batch: 2,
        rps: 1_000_000.0,
        seed_emulator: false,
        seed: Some(1),
        ..Options::default()
    };
    (listener, options)
}

struct Ran {
    outcome: Result<Summary, String>,
    notes: Vec<String>,
}

impl Ran {
    fn counts(&self) -> (usize, usize, usize) {
        let summary = self.outcome.as_ref().expect("the run ends well");
        (summary.created, summary.already_there, summary.refused)
    }
}

async fn run_on(
    listener: TcpListener,
    server: &Server,
    options: &Options,
    patience: &Patience,
) -> Ran {
    let router = server.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let ran = run_noting(options, patience).await;
    serving.abort();
    ran
}

async fn run_noting(options: &Options, patience: &Patience) -> Ran {
    let mut notes = Vec::new();
    let mut progress = |event: RunEvent<'_>| {
        if let RunEvent::Note(text) = event {
            notes.push(text);
        }
    };
    let outcome = run_with(options, patience, &mut progress).await;
    // The first note is the seed's.
    notes.remove(0);
    Ran {
        outcome: outcome.map_err(|error| format!("{error:#}")),
        notes,
    }
}

fn unavailable() -> Misbehaviour {
    Misbehaviour::Answer(
        StatusCode::SERVICE_UNAVAILABLE,
        json!({"detail": "database away"}),
    )
}

#[tokio::test]
async fn the_emulator_knows_every_parcel_before_the_first_is_created() {
    let (listener, mut options) = listen().await;
    (options.count, options.batch, options.seed_emulator) = (1_200, 700, true);
    let server = Server::default();
    let ran = run_on(listener, &server, &options, &QUICK).await;
    assert_eq!(ran.counts(), (1_200, 0, 0));
    let requests = server.requests.lock().expect("the run is over");
    let calls: Vec<_> = requests.iter().map(|(call, _)| *call).collect();
    assert_eq!(calls, ["seed", "seed", "seed", "create", "create"]);
    let sent: Vec<_> = requests.iter().map(|(_, body)| numbers(body)).collect();
    assert_eq!(sent[..3].concat(), sent[3..].concat());
}

#[tokio::test]
async fn a_failed_batch_is_sent_again_as_it_was() {
    let (listener, options) = listen().await;
    let throttled = Misbehaviour::Answer(
        StatusCode::TOO_MANY_REQUESTS,
        json!({"detail": "slow down"}),
    );
    let server = Server::failing([unavailable(), throttled, unavailable()]);
    let ran = run_on(listener, &server, &options, &QUICK).await;
    assert_eq!(ran.counts(), (6, 0, 0));
    let sent = server.sent();
    assert_eq!(sent.len(), 6, "{sent:?}");
    assert!(sent[1..4].iter().all(|again| *again == sent[0]), "{sent:?}");
    assert_ne!(sent[4], sent[0]);
    // One line for the start of the outage, one for its end.
    assert_eq!(ran.notes.len(), 2, "{:?}", ran.notes);
    assert!(
        ran.notes[0].contains("503 Service Unavailable: database away"),
        "{:?}",
        ran.notes
    );
    assert!(ran.notes[1].contains("answers again"), "{:?}", ran.notes);
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_tried_again() {
    let (listener, options) = listen().await;
    let server = Server::default();
    let router = server.router();
    let serving = tokio::spawn(async move {
        drop(listener.accept().await.expect("the first try"));
        axum::serve(listener, router).await
    });
    let ran = run_noting(&options, &QUICK).await;
    serving.abort();
    assert_eq!(ran.counts(), (6, 0, 0));
    assert_eq!(ran.notes.len(), 2, "{:?}", ran.notes);
}

#[tokio::test]
async fn a_request_that_hangs_ends_at_its_deadline_and_is_tried_again() {
    let (listener, options) = listen().await;
    let server = Server::failing([Misbehaviour::Hang]);
    let patience = Patience {
        deadline: Duration::from_millis(300),
        ..QUICK
    };
    let ran = run_on(listener, &server, &options, &patience).await;
    assert_eq!(ran.counts(), (6, 0, 0));
    assert!(
        ran.notes[0].contains("no answer within 0.3 s"),
        "{:?}",
        ran.notes
    );
    let sent = server.sent();
    assert_eq!(sent[0], sent[1]);
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_trackings_is_not_taken_for_success() {
    let (listener, options) = listen().await;
    let other = || Misbehaviour::Answer(StatusCode::OK, json!({"trackings": []}));
    let server = Server::failing([
        other(),
        Misbehaviour::Answer(StatusCode::OK, json!("hello")),
    ]);
    let ran = run_on(listener, &server, &options, &QUICK).await;
    assert_eq!(ran.counts(), (6, 0, 0));
    assert!(
        ran.notes[0].contains("0 trackings answered for 2 items"),
        "{:?}",
        ran.notes
    );
}

#[tokio::test]
async fn giving_up_says_how_far_it_came_and_how_to_go_on() {
    let (listener, mut options) = listen().await;
    options.seed_emulator = true;
    let server = Server::failing([Misbehaviour::AlreadyThere(1), unavailable()]);
    let patience = Patience {
        give_up_after: Duration::ZERO,
        ..QUICK
    };
    let ran = run_on(listener, &server, &options, &patience).await;
    let error = ran
        .outcome
        .expect_err("the second batch never gets through");
    for part in [
        "2 of 6 trackings",
        "1 created, 1 already there",
        "503 Service Unavailable: database away",
        "--seed 1 --seed-emulator false",
    ] {
        assert!(error.contains(part), "{part} in: {error}");
    }
}

#[tokio::test]
async fn the_items_that_the_api_names_are_left_out_and_the_rest_is_sent_again() {
    let (listener, mut options) = listen().await;
    options.batch = 4;
    let problem = json!({"detail": "unknown carriers", "errors": [
        {"pointer": "/items/1/carrierCode", "detail": "unknown: POST_RU"},
        {"pointer": "/items/3/carrierCode", "detail": "unknown: POST_RU"},
    ]});
    let server = Server::failing([Misbehaviour::Answer(
        StatusCode::UNPROCESSABLE_ENTITY,
        problem,
    )]);
    let ran = run_on(listener, &server, &options, &QUICK).await;
    assert_eq!(ran.counts(), (4, 0, 2));
    let sent = server.sent();
    assert_eq!(sent[1], [sent[0][0].clone(), sent[0][2].clone()]);
    assert_eq!(ran.notes.len(), 1, "{:?}", ran.notes);
    let expected = format!(
        "refused 2 of 4 trackings: unknown carriers; the first is POST_RU {}: unknown: POST_RU",
        sent[0][1]
    );
    assert!(ran.notes[0].contains(&expected), "{:?}", ran.notes);
}

#[tokio::test]
async fn a_batch_refused_as_a_whole_is_counted_and_not_tried_again() {
    let (listener, options) = listen().await;
    let refusal = || Misbehaviour::Answer(StatusCode::NOT_FOUND, json!({"detail": "no such page"}));
    let server = Server::failing([refusal(), refusal()]);
    let ran = run_on(listener, &server, &options, &QUICK).await;
    assert_eq!(ran.counts(), (2, 0, 4));
    assert_eq!(server.sent().len(), 3);
    // The same refusal is shown once.
    assert_eq!(ran.notes.len(), 1, "{:?}", ran.notes);
}

#[tokio::test]
async fn trackings_older_than_the_run_count_as_already_there() {
    let (listener, options) = listen().await;
    let server = Server::failing([Misbehaviour::AlreadyThere(2), Misbehaviour::AlreadyThere(1)]);
    let ran = run_on(listener, &server, &options, &QUICK).await;
    assert_eq!(ran.counts(), (3, 3, 0));
}

#[tokio::test]
async fn wrong_options_made_in_code_are_refused() {
    let options = Options {
        batch: 0,
        ..Options::default()
    };
    let outcome = run_with(&options, &QUICK, &mut |_| {}).await;
    let error = outcome.expect_err("no batch is empty");
    assert_eq!(error.to_string(), "batch: must be from 1 to 10000");
}

#[test]
fn a_journey_is_written_as_the_emulator_reads_it() {
    let number = &make_all(&["CDEK".to_owned()], 1, 1)[0];
    let parcel = parcel(number, 1);
    let json = serde_json::to_value(&parcel).expect("a journey is JSON");
    assert_eq!(json["carrier"], "CDEK");
    assert_eq!(json["trackNumber"], number.track_number.as_str());
    assert_eq!(json["stepSeconds"], 10);
    assert_eq!(json["progressProb"], 0.2);
    let first = &json["steps"][0];
    assert_eq!(first["statusRaw"], "RECEIVED_AT_SHIPMENT_WAREHOUSE");
    for field in ["status", "location", "message"] {
        assert!(first[field].is_string(), "{field} in {first}");
    }
    // Only the fields of the contract, which the original emulator reads as well.
    let fields = first.as_object().map(|fields| fields.len());
    assert_eq!(fields, Some(4), "{first}");
    assert_eq!(
        serde_json::from_value::<Parcel>(json).expect("reads"),
        parcel
    );
}
