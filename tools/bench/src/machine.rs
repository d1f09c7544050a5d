//! What a run stands on, and what its processes used, as Linux tells it in /proc.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::Serialize;

use crate::Options;
use crate::engines;

/// The unit of CPU times in /proc: USER_HZ, which is 100 on every Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// The names of the engines' processes.
const ENGINES: [(&str, &str); 3] = [
    ("postgres", "PostgreSQL"),
    ("redis-server", "Redis"),
    ("java", "Kafka"),
];

/// The machine and the versions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    cores: usize,
    versions: BTreeMap<&'static str, String>,
}

impl Machine {
    pub async fn look(options: &Options) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let program = options.program()?;
        let told = std::process::Command::new(&program)
            .arg("--version")
            .output();
        let told = told.with_context(|| format!("cannot run {}", program.display()))?;
        let told = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        let kind = program.parent().and_then(|folder| folder.file_name());
        let kind = kind.unwrap_or_default().to_string_lossy();
        let mut versions = engines::versions().await?;
        versions.insert("TrackBox", format!("{told} ({kind} build)"));
        Ok(Self { cores, versions })
    }

    pub fn text(&self) -> String {
        let versions = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name}: {version}"));
        let versions: Vec<_> = versions.collect();
        format!("{} cores; {}", self.cores, versions.join("; "))
    }
}

/// A process, as /proc/PID/stat tells.
struct Process {
    id: u32,
    name: String,
    parent: u32,
    secs: f64,
    /// Of its children that ended.
    ended_secs: f64,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name is in brackets, and may have blanks.
        let (head, rest) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let secs = |user: usize| {
            let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
            Some((ticks(user)? + ticks(user + 1)?) / TICKS_PER_SEC)
        };
        Some(Self {
            id,
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            secs: secs(11)?,
            ended_secs: secs(13)?,
        })
    }

    fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(Self::read).collect()
    }
}

/// CPU seconds so far by name: of `children` of ours, of this process, and of the engines beside it.
pub fn cpu_secs<'a>(children: impl IntoIterator<Item = (&'a str, u32)>) -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    let own = std::process::id();
    for (name, id) in children
        .into_iter()
        .chain([("bench with the carriers", own)])
    {
        if let Some(process) = Process::read(id) {
            *used.entry(name.to_owned()).or_default() += process.secs;
        }
    }
    let all = Process::all();
    for engine in engines_beside(&all, own) {
        let Some((_, name)) = ENGINES.iter().find(|(process, _)| *process == engine.name) else {
            continue;
        };
        let children = all.iter().filter(|process| process.parent == engine.id);
        let secs = engine.secs + engine.ended_secs + children.map(|child| child.secs).sum::<f64>();
        *used.entry((*name).to_owned()).or_default() += secs;
    }
    used
}

/// The engines that our nearest ancestor with engines started, as `tools/services` does.
fn engines_beside(all: &[Process], own: u32) -> Vec<&Process> {
    let mut ancestor = own;
    while let Some(process) = all.iter().find(|process| process.id == ancestor) {
        ancestor = process.parent;
        let is_engine = |name: &str| ENGINES.iter().any(|(process, _)| *process == name);
        let found = all
            .iter()
            .filter(|it| it.parent == ancestor && is_engine(&it.name));
        let found: Vec<_> = found.collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// What was used between two looks.
pub fn used(before: &BTreeMap<String, f64>, after: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let since = |(name, secs): (String, f64)| {
        let before = before.get(&name).copied().unwrap_or_default();
        (name, secs - before)
    };
    after.into_iter().map(since).collect()
}

/// A figure of a process's memory in MiB: `VmRSS` now, `VmHWM` at most so far.
pub fn memory_mib(id: u32, key: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let mut lines = status.lines();
    let kib = lines.find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(':')?
            .split_whitespace()
            .next()
    });
    let kib: f64 = kib
        .with_context(|| format!("/proc/{id}/status has no {key}"))?
        .parse()?;
    Ok(kib / 1024.0)
}
