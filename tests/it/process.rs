//! The program as a process of its own, in real time: killed, stopped and read all along.
//!
//! The carriers are the emulator in the test's process; its truth and its ledger judge.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_util::sync::{CancellationToken, DropGuard};
use trackbox::store::{Connections, Store};
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::journeys::journey;
use trackbox_emulator::options::{Options, Progress};
use trackbox_emulator::scenario::Parcel;

use crate::fixture::{code, number};
use crate::truth;

/// Carriers in the test's process, and where a `trackbox all` finds them and keeps its data.
pub struct World {
    pub emulator: Emulator,
    pub folder: TempDir,
    pub api: String,
    pub store_url: String,
    variables: Vec<(String, String)>,
    _stop: DropGuard,
}

impl World {
    /// On SQLite, all in one process. `limits` are calls a minute, the same on both sides; 0 is none.
    pub async fn new(limits: &[(&str, u32)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store_url = format!("sqlite://{}/trackbox.db", folder.path().display());
        Self::with(folder, store_url, limits, "emulator").await
    }

    /// Its data in `store_url`, its logs in `folder`; carriers are asked as `adapter` does.
    pub async fn with(
        folder: TempDir,
        store_url: String,
        limits: &[(&str, u32)],
        adapter: &str,
    ) -> Self {
        crate::fixture::install_tls();
        let options = Options {
            progress: Progress::Clock,
            limits: limits
                .iter()
                .map(|(code, limit)| ((*code).to_owned(), *limit))
                .collect(),
            ..Options::default()
        };
        let emulator = Emulator::new(options, trackbox_emulator::time::Time::system());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let carriers = format!("http://{}", listener.local_addr().expect("has an address"));
        let stop = CancellationToken::new();
        tokio::spawn(trackbox_emulator::serve::serve(
            emulator.clone(),
            listener,
            stop.clone(),
        ));
        let listen = format!("127.0.0.1:{}", free_port());
        let mut variables = vec![
            ("HTTP__LISTEN".to_owned(), listen.clone()),
            ("WORK__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("CONSUME__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("STORE__URL".to_owned(), store_url.clone()),
            ("WORK__CADENCE".to_owned(), "demo".to_owned()),
            ("CARRIERS__DEFAULT__BASE_URL".to_owned(), carriers.clone()),
        ];
        for (code, limit) in limits {
            variables.push((format!("CARRIERS__{code}__ADAPTER"), adapter.to_owned()));
            variables.push((format!("CARRIERS__{code}__BASE_URL"), carriers.clone()));
            variables.push((format!("CARRIERS__{code}__PER_MINUTE"), limit.to_string()));
        }
        Self {
            emulator,
            folder,
            api: format!("http://{listen}"),
            store_url,
            variables,
            _stop: stop.drop_guard(),
        }
    }

    /// Seeds and tracks `count` parcels of a carrier.
    pub async fn create(&self, carrier: &str, count: usize, step_secs: u64) {
        let numbers: Vec<String> = (0..count).map(|n| format!("{carrier}{n}")).collect();
        let parcels = numbers
            .iter()
            .map(|number| Parcel {
                carrier: carrier.to_owned(),
                track_number: number.clone(),
                step_seconds: step_secs,
                progress_prob: 0.0,
                steps: journey(carrier, number, 1),
            })
            .collect();
        self.emulator.seed(parcels).expect("seeds");
        let pairs: Vec<_> = numbers
            .iter()
            .map(|text| (code(carrier), number(text)))
            .collect();
        let store = self.store().await;
        store.migrate().await.expect("migrates");
        let now = trackbox::clock::machine_now();
        store.create_or_get(&pairs, now).await.expect("creates");
        store.close().await;
    }

    pub async fn store(&self) -> Store {
        let connections = Connections {
            postgres: 4,
            ..Connections::default()
        };
        Store::open(&self.store_url, connections)
            .await
            .expect("opens")
    }

    /// Sets a variable of every process started from now on.
    pub fn set(&mut self, key: &str, value: String) {
        self.variables.push((key.to_owned(), value));
    }

    /// Starts `trackbox all`; its log goes to a file beside the database.
    pub fn start(&self) -> Child {
        self.start_role("all")
    }

    pub fn start_role(&self, role: &str) -> Child {
        self.start_with(role, &[])
    }

    /// Starts a role with variables of its own.
    pub fn start_with(&self, role: &str, own: &[(String, String)]) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("opens the log");
        let mut command = self.command(role, own);
        command.stdout(Stdio::null()).stderr(log);
        command.spawn().expect("starts")
    }

    /// What a command that ends by itself prints.
    pub async fn output_of(&self, subcommand: &str) -> String {
        let mut command = self.command(subcommand, &[]);
        let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        let output = output.expect("ends in time").expect("starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn command(&self, subcommand: &str, own: &[(String, String)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackbox"));
        command
            .arg(subcommand)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for (key, value) in self.variables.iter().chain(own) {
            command.env(format!("TRACKBOX_{key}"), value);
        }
        command
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until no parcel is under way any more.
    pub async fn wait_until_arrived(&self, within: Duration) {
        let store = self.store().await;
        let began = Instant::now();
        loop {
            let counts = store.status_counts().await.expect("counts");
            if counts.keys().all(|status| status.is_terminal()) {
                break;
            }
            assert!(
                began.elapsed() < within,
                "not arrived: {counts:?}\n{}",
                self.log()
            );
            pause(Duration::from_millis(200)).await;
        }
        store.close().await;
    }

    pub async fn assert_truth(&self) {
        let store = self.store().await;
        truth::assert_truth(&store, &self.emulator).await;
        store.close().await;
    }
}

/// The one wait of these tests: they watch another process, which knows no clock of ours.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

pub fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").expect("binds");
    probe.local_addr().expect("has an address").port()
}

pub fn signal(child: &Child, name: &str) {
    let id = child.id().expect("is running").to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &id])
        .status()
        .expect("kill runs");
    assert!(sent.success());
}

/// SIGTERM ends it with 0 within its grace time.
pub async fn stop(mut child: Child, log: impl Fn() -> String) {
    signal(&child, "-TERM");
    let ended = tokio::time::timeout(Duration::from_secs(12), child.wait()).await;
    let status = ended.expect("ends in time").expect("is waited for");
    assert!(status.success(), "{status}\n{}", log());
}

/// Reads `ids` through the APIs in turn until `stop`, and answers how often; panics where a parcel goes back.
pub async fn read_all_along(apis: Vec<String>, ids: Vec<i64>, stop: CancellationToken) -> u64 {
    let client = reqwest::Client::new();
    let mut seen: HashMap<String, (i64, String, bool)> = HashMap::new();
    let mut reads = 0;
    for api in apis.iter().cycle() {
        if stop.is_cancelled() {
            break;
        }
        let request = client
            .post(format!("{api}/trackings/get-by-ids"))
            .json(&json!({"ids": ids}));
        let answer = request.timeout(Duration::from_secs(5)).send().await;
        let body: Option<Value> = match answer {
            Ok(answer) if answer.status().is_success() => answer.json().await.ok(),
            // Between a kill and the next start nobody answers.
            Ok(_) | Err(_) => None,
        };
        for row in body
            .iter()
            .flat_map(|body| body["trackings"].as_array())
            .flatten()
        {
            let id = row["id"].as_str().expect("an id").to_owned();
            let version = row["version"].as_i64().expect("a version");
            let checked = row["lastCheckedAt"].as_str().unwrap_or_default().to_owned();
            let status = row["status"].as_str().expect("a status");
            let terminal = matches!(status, "DELIVERED" | "RETURNED" | "CANCELLED" | "EXPIRED");
            let now = (version, checked, terminal);
            if let Some(before) = seen.insert(id.clone(), now.clone()) {
                assert!(
                    before.0 <= now.0,
                    "{id} went from version {} to {}",
                    before.0,
                    now.0
                );
                assert!(
                    time_key(&before.1) <= time_key(&now.1),
                    "{id} was checked at {}, then at {}",
                    before.1,
                    now.1
                );
                assert!(!before.2 || now.2, "{id} left its last status");
                assert!(
                    before.0 < now.0 || before == now,
                    "{id} changed without a new version"
                );
            }
        }
        reads += u64::from(body.is_some());
        pause(Duration::from_millis(50)).await;
    }
    reads
}

/// RFC 3339 with Z and a fraction of any length, in an order that is time's.
fn time_key(text: &str) -> (String, String) {
    let (whole, fraction) = text
        .trim_end_matches('Z')
        .split_once('.')
        .unwrap_or((text.trim_end_matches('Z'), ""));
    (whole.to_owned(), fraction.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_nothing_is_lost_doubled_or_seen_going_back() {
    const PARCELS: usize = 2_000;
    let seed = std::env::var("TRACKBOX_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("TRACKBOX_TEST_SEED={seed} repeats the moments of this run");
    let mut chance = StdRng::seed_from_u64(seed);
    let world = World::new(&[("CDEK", 0), ("POST_RU", 0)]).await;
    world.create("CDEK", PARCELS / 2, 7).await;
    world.create("POST_RU", PARCELS / 2, 7).await;
    let stop_reading = CancellationToken::new();
    let reader = tokio::spawn(read_all_along(
        vec![world.api.clone()],
        (1..=PARCELS as i64).collect(),
        stop_reading.clone(),
    ));
    let mut offset = 0;
    for _ in 0..20 {
        let mut child = world.start();
        let lives = Duration::from_millis(chance.random_range(100..3_500));
        assert!(
            tokio::time::timeout(lives, child.wait()).await.is_err(),
            "ended by itself\n{}",
            world.log()
        );
        child.kill().await.expect("is killed");
        let store = world.store().await;
        let states = store.partition_states("in-process").await.expect("reads");
        let now = states.first().map_or(0, |state| state.next_offset);
        assert!(now >= offset, "the offset went back from {offset} to {now}");
        offset = now;
        store.close().await;
    }
    let child = world.start();
    world.wait_until_arrived(Duration::from_secs(120)).await;
    stop_reading.cancel();
    assert!(reader.await.expect("saw nothing go back") > 20);
    stop(child, || world.log()).await;
    world.assert_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_for_thirty_seconds_it_goes_on_without_a_call_too_many() {
    let world = World::new(&[("CDEK", 600), ("POST_RU", 120)]).await;
    world.create("CDEK", 300, 10).await;
    world.create("POST_RU", 60, 10).await;
    let child = world.start();
    pause(Duration::from_secs(8)).await;
    signal(&child, "-STOP");
    pause(Duration::from_secs(30)).await;
    signal(&child, "-CONT");
    world.wait_until_arrived(Duration::from_secs(120)).await;
    stop(child, || world.log()).await;
    world.assert_truth().await;
    truth::assert_budget(&world.emulator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_would_not_hear_of_each_other_are_refused() {
    let world = World::new(&[("CDEK", 600)]).await;
    world.create("CDEK", 1, 1).await;
    let first = world.start();
    world.wait_until_arrived(Duration::from_secs(60)).await;
    for role in ["all", "serve"] {
        let mut second = world.start_role(role);
        let ended = tokio::time::timeout(Duration::from_secs(10), second.wait()).await;
        assert!(
            !ended
                .expect("ends at once")
                .expect("is waited for")
                .success()
        );
        assert!(
            world
                .log()
                .contains("error: another TrackBox works on sqlite://"),
            "{}",
            world.log()
        );
    }
    for role in ["work", "consume"] {
        let mut lone = world.start_role(role);
        let ended = tokio::time::timeout(Duration::from_secs(10), lone.wait()).await;
        assert!(
            !ended
                .expect("ends at once")
                .expect("is waited for")
                .success()
        );
        assert!(world.log().contains(&format!(
            "error: `trackbox {role}` alone needs kafka.brokers and redis.url"
        )));
    }
    stop(first, || world.log()).await;
}
