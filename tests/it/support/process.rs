//! The program as processes of its own, in real time, with the carriers in the test's process.

use std::fs::OpenOptions;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_util::sync::DropGuard;
use trackbox::clock::machine_now;
use trackbox::model::tenant::Tenant;
use trackbox::store::{Connections, WholeStore};
use trackbox_emulator::emulator::Emulator;
use trackbox_emulator::time::Time;

use crate::support::engines::{self, free_port};
use crate::support::{carriers, truth};

/// Carriers in the test's process, and the settings with which a `trackbox` finds them and keeps its data.
pub struct World {
    pub emulator: Emulator,
    pub folder: TempDir,
    pub api: String,
    pub store_url: String,
    /// The carriers' address.
    pub carriers: String,
    variables: Vec<(String, String)>,
    _carriers: DropGuard,
}

impl World {
    /// One on SQLite. `limits` are calls a minute, at the emulator and in the configuration alike; 0 is none.
    pub async fn new(limits: &[(&str, u32)]) -> Self {
        Self::with_adapter(limits, "emulator").await
    }

    /// One on SQLite, whose carriers are called by `adapter`.
    pub async fn with_adapter(limits: &[(&str, u32)], adapter: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store_url = format!("sqlite://{}/trackbox.db", folder.path().display());
        Self::with(folder, store_url, limits, adapter).await
    }

    /// One with its data in `store_url` and its logs in `folder`; `adapter` calls the carriers.
    pub async fn with(
        folder: TempDir,
        store_url: String,
        limits: &[(&str, u32)],
        adapter: &str,
    ) -> Self {
        let (emulator, carriers_url, stop) = carriers::start(limits, Time::system()).await;
        let listen = format!("127.0.0.1:{}", free_port());
        let mut variables = vec![
            ("HTTP__LISTEN".to_owned(), listen.clone()),
            ("WORK__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("CONSUME__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("STORE__URL".to_owned(), store_url.clone()),
            ("WORK__CADENCE".to_owned(), "demo".to_owned()),
        ];
        variables.extend(carriers::settings(&carriers_url, limits, adapter));
        Self {
            emulator,
            folder,
            api: format!("http://{listen}"),
            store_url,
            carriers: carriers_url,
            variables,
            _carriers: stop,
        }
    }

    /// Makes `count` parcels of a carrier known to the emulator, and tracks them.
    pub async fn create(&self, carrier: &str, count: usize, step_secs: u64) {
        let pairs = carriers::seed(&self.emulator, carrier, count, |_| step_secs);
        let store = self.store().await;
        store.migrate().await.expect("migrates");
        let created = store.create_or_get(Tenant::DEFAULT, &pairs, machine_now());
        created.await.expect("creates");
        store.close().await;
    }

    pub async fn store(&self) -> WholeStore {
        let connections = Connections {
            postgres: 4,
            ..Connections::default()
        };
        let store = WholeStore::open(&self.store_url, connections);
        store.await.expect("opens")
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
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("opens the log");
        let mut command = self.command(role, own);
        command.stdout(Stdio::null()).stderr(log);
        command.spawn().expect("starts")
    }

    /// Runs a command that ends by itself: a subcommand and its arguments, with blanks between.
    pub async fn run(&self, command: &str) -> Output {
        let mut command = self.command(command, &[]);
        let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        output.expect("ends in time").expect("starts")
    }

    /// What such a command prints.
    pub async fn output_of(&self, command: &str) -> String {
        let output = self.run(command).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn command(&self, subcommand: &str, own: &[(String, String)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackbox"));
        command
            .args(subcommand.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for (key, value) in self.variables.iter().chain(own) {
            command.env(format!("TRACKBOX_{key}"), value);
        }
        command
    }

    /// What all processes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the API is ready.
    pub async fn wait_until_ready(&self) {
        self.wait_until_answered(&self.api).await;
    }

    /// Waits until a process is ready at this address.
    pub async fn wait_until_answered(&self, api: &str) {
        let began = Instant::now();
        loop {
            let ready = reqwest::get(format!("{api}/readyz")).await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let waited = began.elapsed();
            assert!(
                waited < Duration::from_secs(60),
                "not ready\n{}",
                self.log()
            );
            pause(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all parcels have arrived.
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

    /// See [`truth::assert_truth`].
    pub async fn assert_truth(&self) {
        let store = self.store().await;
        truth::assert_truth(&store, &self.emulator).await;
        store.close().await;
    }
}

/// Waits in real time: these tests watch other processes, which do not use the test's clock.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Sends a running process a signal, such as `-STOP`.
pub fn signal(child: &Child, name: &str) {
    engines::signal(child.id().expect("is running"), name);
}

/// Sends SIGTERM. The process must exit with 0 within its grace time.
pub async fn stop(mut child: Child, log: impl Fn() -> String) {
    signal(&child, "-TERM");
    let ended = tokio::time::timeout(Duration::from_secs(12), child.wait()).await;
    let status = ended.expect("ends in time").expect("is waited for");
    assert!(status.success(), "{status}\n{}", log());
}
