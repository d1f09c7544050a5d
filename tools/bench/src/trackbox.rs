//! A `trackbox` process, with settings and ports of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use trackbox::clock::machine_now;
use trackbox::model::tenant::{Scope, Tenant};
use trackbox::store::api_keys::NewKey;
use trackbox::store::{Connections, WholeStore};

use crate::Options;
use crate::http;

/// How long a process may take to be ready, and to stop.
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(20);

/// Between two looks at whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Settings as variables without their prefix.
pub type Settings = Vec<(&'static str, String)>;

pub struct TrackBox {
    pub role: &'static str,
    child: Child,
    /// The API, of roles that have it.
    pub api: SocketAddr,
    /// Its metrics, of roles that apply.
    consume: SocketAddr,
    pub ready_ms: f64,
}

/// An address whose port is free and outside the range that the system deals out.
fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(12_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Gives the store of these settings the key that all requests are made with, unless it has it.
async fn with_key(settings: &Settings) -> anyhow::Result<()> {
    let url = settings.iter().find(|(name, _)| *name == "STORE__URL");
    let (_, url) = url.context("every place has a store")?;
    let store = WholeStore::open(url, Connections::default()).await?;
    store.migrate().await?;
    if store.key_by_hash(&http::KEY.hash()).await?.is_none() {
        let key = NewKey {
            tenant: Tenant::DEFAULT,
            key: http::KEY.clone(),
            name: "bench".to_owned(),
            scope: Scope::Admin,
            is_operator: true,
            per_second: 0,
            expires_at: None,
        };
        store.add_key(&key, None, machine_now()).await?;
    }
    store.close().await;
    Ok(())
}

impl TrackBox {
    /// Starts a role (or `all`) in `folder` and waits until it is ready.
    pub async fn start(
        options: &Options,
        role: &'static str,
        folder: &Path,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let [api, work, consume] = [(); 3].map(|()| free_address());
        // Several may have one role.
        let log_file = folder.join(format!("{role}-{}.log", api.port()));
        let log = std::fs::File::create(&log_file)?;
        let mut command = Command::new(options.program()?);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRACKBOX_")) {
            command.env_remove(name);
        }
        let listen = [("HTTP", api), ("WORK", work), ("CONSUME", consume)];
        for (section, address) in listen {
            command.env(format!("TRACKBOX_{section}__LISTEN"), address.to_string());
        }
        for (name, value) in settings {
            command.env(format!("TRACKBOX_{name}"), value);
        }
        with_key(settings).await?;
        let began = Instant::now();
        let child = command
            .arg(role)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start trackbox")?;
        let mut started = Self {
            role,
            child,
            api,
            consume,
            ready_ms: 0.0,
        };
        let health = match role {
            "work" => work,
            "consume" => consume,
            _ => api,
        };
        while http::once(health, &http::get("/readyz")).await.is_err() {
            let ended = started.child.try_wait()?.is_some();
            if ended || began.elapsed() > START_MAX {
                let log = std::fs::read_to_string(&log_file)?;
                bail!("trackbox {role} ended or was not ready in time:\n{log}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        started.ready_ms = began.elapsed().as_secs_f64() * 1e3;
        Ok(started)
    }

    pub fn id(&self) -> u32 {
        // A process that was not waited for has its id.
        self.child.id().unwrap_or_default()
    }

    /// Whether its role applies updates.
    pub fn applies(&self) -> bool {
        matches!(self.role, "consume" | "all")
    }

    /// How many updates it has applied (`consume` and `all`).
    pub async fn applied(&self) -> anyhow::Result<usize> {
        let mut connection = http::Connection::open(self.consume).await?;
        let answer = connection.ask(&http::get("/metrics")).await?;
        let text = String::from_utf8(answer.body)?;
        let mut lines = text.lines();
        let applied = lines.find_map(|line| line.strip_prefix("trackbox_updates_applied_total "));
        Ok(applied.context("does not count its updates")?.parse()?)
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        let ended = tokio::time::timeout(STOP_MAX, self.child.wait()).await;
        let status = ended.with_context(|| format!("trackbox {} does not stop", self.role))??;
        if !sent.success() || !status.success() {
            bail!("trackbox {} did not stop cleanly: {status}", self.role);
        }
        Ok(())
    }
}
