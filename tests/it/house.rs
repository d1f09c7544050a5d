//! The plan of the house: which room may use which, read from the paths in the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The rooms of `src` in order, with what each one is. A room uses only rooms of earlier tiers.
const TIERS: &[&[(&str, &str)]] = &[
    &[
        (
            "clock",
            "the one place that reads the clock: the database's time, and the calendar",
        ),
        (
            "metrics",
            "everything a process counts, each metric named once",
        ),
        (
            "outage",
            "how a failure that lasts is logged: once when it begins, once when it ends",
        ),
        ("tls", "which certificates encrypted connections trust"),
        (
            "together",
            "work that is cheaper for many callers together, done by them in turns",
        ),
    ],
    &[(
        "model",
        "the words, an account's limits, and the one pure function that merges an update into a tracking",
    )],
    &[
        ("config", "every setting, its source and its place"),
        (
            "plan",
            "when to check again: the cadence, and what is learned; pure",
        ),
        (
            "kafka",
            "the bus, on Kafka or in the process, and the message",
        ),
        (
            "cache",
            "current states by id, the limiter of calls, the accounts' tokens; in Redis or in the process",
        ),
    ],
    &[
        ("logging", "how the process logs"),
        (
            "carriers",
            "trait `Carrier` (no input or output), carriers as files and their reader; which account a code leads to",
        ),
        (
            "store",
            "all SQL, for SQLite and PostgreSQL, one file for each thing it keeps",
        ),
        (
            "simulate",
            "policies against invented carriers in virtual time",
        ),
    ],
    &[
        (
            "archive",
            "carriers' answers as they are kept: what tells two of them apart, and how they are compressed",
        ),
        (
            "current",
            "trackings as they are now: the store and the cache in one, and the order between them",
        ),
        (
            "reread",
            "known events read anew: what today's words and rules would change",
        ),
        (
            "learned",
            "what this process knows of when to check again, read from the store",
        ),
        (
            "serving",
            "what every role's HTTP shares: who calls, problems, extractors, limits, documents, health",
        ),
    ],
    &[
        ("feed", "wakes those who wait for changes"),
        (
            "replay",
            "archived answers read again: what today's files would make of a parcel",
        ),
    ],
    // The roles do not know each other: they meet in the database and on the bus.
    &[
        ("http", "role `serve`: the API, one file a resource"),
        (
            "scheduler",
            "role `work`: claims, permits, calls, pauses, the price of a call",
        ),
        (
            "consumer",
            "role `consume`: applies the topic's records, shares partitions with other consumers",
        ),
    ],
    &[(
        "app",
        "what each role is; connects the parts, runs the roles, stops them in order",
    )],
    &[
        (
            "demo",
            "`all --demo`: the app beside an emulator of carriers",
        ),
        ("commands", "commands that do one thing and end"),
    ],
];

/// The document that shows the rooms, between two markers.
const DOCUMENT: &str = "docs/architecture.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Rust file, by its module path: `store::sql` for `store/sql.rs`.
struct Source {
    module: String,
    /// Without tests, which may build what they test from anything.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.module.split("::").next().unwrap_or_default()
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("reads the folder") {
        let path = entry.expect("reads the entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every file of a crate but its roots and its tests.
fn sources(folder: &str) -> Vec<Source> {
    let folder = root().join(folder);
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let place = file.strip_prefix(&folder).expect("lies below the folder");
        let place = place.with_extension("");
        let names: Vec<&str> = place.iter().filter_map(|name| name.to_str()).collect();
        let text = std::fs::read_to_string(file).expect("reads the file");
        let code = text.split("#[cfg(test)]\nmod tests {").next()?;
        let of_tests = ["tests", "fixture"].iter().any(|name| names.contains(name));
        let is_root = ["lib", "main"].contains(names.first()?);
        (!of_tests && !is_root).then(|| Source {
            module: names.join("::"),
            code: without_comments(code),
        })
    };
    files.iter().filter_map(read).collect()
}

fn without_comments(code: &str) -> String {
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |mut text, line| {
        text.push_str(line);
        text.push('\n');
        text
    })
}

/// All paths that begin with `crate::`, with groups in braces taken apart.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let text: String = code[at + start.len()..]
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(2_000)
            .collect();
        unfold("", &mut text.as_str(), &mut found);
    }
    found
}

/// Reads one path, or one group of paths, from the start of `rest`.
fn unfold(prefix: &str, rest: &mut &str, found: &mut BTreeSet<String>) {
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(rest.len());
    let path = format!("{prefix}{}", &rest[..end]);
    *rest = &rest[end..];
    if !path.ends_with("::") || !rest.starts_with('{') {
        found.insert(path.trim_end_matches(':').to_owned());
        return;
    }
    while let Some(inside) = rest.strip_prefix(['{', ',']) {
        *rest = inside;
        if !rest.starts_with('}') {
            unfold(&path, rest, found);
        }
    }
    *rest = rest.strip_prefix('}').unwrap_or(rest);
}

/// The rooms that each room uses.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources("src") {
        let used = uses.entry(source.room().to_owned()).or_default();
        for path in paths(&source.code) {
            let room = path.split("::").next().unwrap_or_default();
            if room != source.room() && room.starts_with(|c: char| c.is_ascii_lowercase()) {
                used.insert(room.to_owned());
            }
        }
    }
    uses
}

#[test]
fn a_room_uses_only_rooms_of_earlier_tiers() {
    let uses = uses();
    let listed: BTreeSet<&str> = TIERS
        .iter()
        .copied()
        .flatten()
        .map(|(name, _)| *name)
        .collect();
    let there: BTreeSet<&str> = uses.keys().map(String::as_str).collect();
    assert_eq!(
        listed, there,
        "the rooms that are listed and those that are there"
    );
    let mut earlier = BTreeSet::new();
    let mut refused = Vec::new();
    for tier in TIERS {
        for (room, _) in *tier {
            let wrong = uses[*room]
                .iter()
                .filter(|used| !earlier.contains(used.as_str()));
            refused.extend(wrong.map(|used| format!("{room} uses {used}")));
        }
        earlier.extend(tier.iter().map(|(room, _)| *room));
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// The rooms as a table: what each is, and which others it uses.
fn table() -> String {
    let uses = uses();
    let mut table = "| room | what it is | uses |\n|---|---|---|\n".to_owned();
    for (room, what) in TIERS.iter().copied().flatten() {
        let used: Vec<&str> = uses[*room].iter().map(String::as_str).collect();
        let used = if used.is_empty() {
            "–".to_owned()
        } else {
            used.join(", ")
        };
        writeln!(table, "| `{room}` | {what} | {used} |").expect("writes to a string");
    }
    table
}

#[test]
fn the_document_shows_the_rooms_as_they_are() {
    let text = std::fs::read_to_string(root().join(DOCUMENT)).expect("reads the document");
    let (_, after) = text
        .split_once("<!-- rooms -->\n")
        .expect("has a first marker");
    let (shown, _) = after
        .split_once("<!-- end of rooms -->")
        .expect("has a second marker");
    let table = table();
    assert!(
        shown == table,
        "{DOCUMENT} must say between the markers:\n{table}"
    );
}

#[test]
fn only_the_store_makes_a_tenant_of_an_id() {
    let makes = |source: &&Source| source.code.contains("Tenant::from_row(");
    let makers = sources("src");
    let others = makers.iter().filter(makes).map(Source::room);
    assert_eq!(others.collect::<BTreeSet<_>>(), BTreeSet::from(["store"]));
}

/// The files that each file uses. Declaring a child is no use of it, naming it is.
fn arrows(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let files: BTreeSet<&str> = sources
        .iter()
        .map(|source| source.module.as_str())
        .collect();
    let file_of = |path: &str| {
        let mut path = path;
        loop {
            if let Some(file) = files.get(path) {
                return Some(*file);
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let arrows = sources.iter().map(|source| {
        let children = files.iter().copied().filter(|file| {
            let child = file
                .strip_prefix(&source.module)
                .and_then(|rest| rest.strip_prefix("::"));
            child.is_some_and(|child| names(&source.code, child))
        });
        let used: Vec<&str> = paths(&source.code)
            .iter()
            .filter_map(|path| file_of(path))
            .collect();
        let used: BTreeSet<&str> = used.into_iter().chain(children).collect();
        let others = used.into_iter().filter(|file| *file != source.module);
        (source.module.as_str(), others.collect())
    });
    arrows.collect()
}

/// Whether code has a path that begins with the module `child`.
fn names(code: &str, child: &str) -> bool {
    let start = format!("{child}::");
    code.match_indices(&start).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'))
    })
}

/// The files that use themselves by way of others, and what they use on that way.
fn circles<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<(&'a str, Vec<&'a str>)> {
    let reached = |from: &str| {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = arrows[from].iter().copied().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(&arrows[file]);
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (*file, reached(file))).collect();
    let circling = arrows.keys().filter(|file| reached[*file].contains(*file));
    let shown = circling.map(|file| {
        let back = arrows[file]
            .iter()
            .copied()
            .filter(|used| reached[used].contains(file));
        (*file, back.collect())
    });
    shown.collect()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for folder in ["src", "tools/emulator/src", "tools/generator/src"] {
        let sources = sources(folder);
        assert!(sources.len() > 5, "{folder} has sources");
        let found = circles(&arrows(&sources));
        assert!(found.is_empty(), "{folder}: {found:#?}");
    }
}

#[test]
fn the_judge_of_circles_sees_one_and_reads_groups_of_paths() {
    let code = "use crate::store::{Store, sql::{Row, Sql}};\nlet x = crate::model::at(1);";
    let expected = [
        "model::at",
        "store::Store",
        "store::sql::Row",
        "store::sql::Sql",
    ];
    assert_eq!(paths(code), expected.map(str::to_owned).into());
    let file = |module: &str, code: &str| Source {
        module: module.to_owned(),
        code: code.to_owned(),
    };
    let mut files = vec![
        file("a", "mod b; use crate::a::b::B;"),
        file("a::b", "use crate::c::C;"),
        file("c", ""),
    ];
    assert_eq!(circles(&arrows(&files)).len(), 0);
    files[2].code = "use crate::a::A;".to_owned();
    assert_eq!(circles(&arrows(&files)).len(), 3);
    files[2].code = "mod d;".to_owned();
    files.push(file("c::d", "crate::c::x()"));
    assert_eq!(
        circles(&arrows(&files)).len(),
        0,
        "declaring a child is no use of it"
    );
    files[2].code = "mod d; d::y()".to_owned();
    assert_eq!(circles(&arrows(&files)).len(), 2);
}
