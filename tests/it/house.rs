//! The plan of the house: which module may use which, read from the `use` paths of the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may use whom. A module always uses itself; what is not listed may use nobody.
const PLAN: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("model", &["clock"]),
    ("config", &["model"]),
    ("logging", &["config"]),
    ("outage", &[]),
    ("tls", &[]),
    ("plan", &["clock", "model"]),
    ("simulate", &["plan"]),
    ("store", &["clock", "model", "plan"]),
    ("cache", &["clock", "model", "outage"]),
    ("carriers", &["clock", "model", "config", "cache"]),
    ("learned", &["clock", "model", "carriers", "plan", "store"]),
    ("metrics", &[]),
    (
        "kafka",
        &["clock", "model", "store", "cache", "metrics", "outage"],
    ),
    ("serving", &["clock", "model", "config", "store", "metrics"]),
    // The roles do not know each other: they meet in the database and on the bus.
    (
        "scheduler",
        &[
            "clock", "model", "config", "store", "cache", "carriers", "kafka", "metrics", "outage",
            "plan", "learned", "serving",
        ],
    ),
    (
        "http",
        &[
            "clock", "model", "config", "store", "cache", "carriers", "kafka", "metrics", "plan",
            "learned", "serving",
        ],
    ),
    (
        "x",
        &[],
    ),
    ("commands", &["app", "clock", "config", "model", "store"]),
    (
        "demo",
        &[
            "app", "clock", "config", "model", "plan", "simulate", "store",
        ],
    ),
    (
        "app",
        &[
            "cache",
            "carriers",
            "clock",
            "config",
            "demo",
            "kafka",
            "metrics",
            "outage",
            "plan",
            "learned",
            "scheduler",
            "servers",
            "store",
            "tls",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("reads the folder") {
        let path = entry.expect("reads the entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The modules of this crate that `text` names by `crate::NAME`.
fn used(text: &str) -> BTreeSet<String> {
    text.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &text[at + found.len()..];
            rest.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn every_module_uses_only_what_the_plan_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let plan: BTreeMap<&str, &[&str]> = PLAN.iter().copied().collect();
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 50);
    let mut refused = Vec::new();
    for file in files {
        let place = file.strip_prefix(&src).expect("lies below src");
        let first = place
            .iter()
            .next()
            .expect("has a name")
            .to_string_lossy()
            .into_owned();
        let module = first.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let allowed = plan
            .get(module)
            .unwrap_or_else(|| panic!("{module} is not in the plan"));
        // Tests may build what they test from anything.
        if place
            .iter()
            .any(|part| part.to_string_lossy().starts_with("tests"))
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("reads the file");
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for name in used(code) {
            if name != module && !allowed.contains(&name.as_str()) {
                refused.push(format!("{} uses {name}", place.display()));
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}
