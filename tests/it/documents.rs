//! What the documents name is there: files, links, metrics, configuration keys, and the sections they link to.

use std::path::{Path, PathBuf};

use trackbox::metrics::Metrics;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/adding.md",
    "docs/architecture.md",
    "docs/operating.md",
    "docs/scheduling.md",
    "docs/security.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between each `open` and the next `close`, on one line.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    let found = text.lines().flat_map(|line| {
        line.match_indices(open).filter_map(|(at, _)| {
            let rest = &line[at + open.len()..];
            rest.split_once(close).map(|(inside, _)| inside)
        })
    });
    found.collect()
}

/// All code of a document: in blocks and between backticks.
fn code(text: &str) -> Vec<&str> {
    let inline = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let mut fenced = false;
    let blocks = text.lines().filter(move |line| {
        fenced ^= line.starts_with("```");
        fenced && !line.starts_with("```")
    });
    inline.chain(blocks).collect()
}

/// The words of all code, without the punctuation around them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = code(text).into_iter().flat_map(str::split_whitespace);
    words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/' && c != '_'))
}

fn missing(is_missing: impl Fn(&str, &str) -> Vec<String>) {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let found = is_missing(document, &read(document));
        missing.extend(found.into_iter().map(|what| format!("{document}: {what}")));
    }
    assert!(missing.is_empty(), "named, and not there: {missing:#?}");
}

#[test]
fn every_link_of_the_documents_leads_to_a_file() {
    missing(|document, text| {
        let folder = root()
            .join(document)
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default();
        let links = between(text, "](", ')').into_iter();
        let local = links.filter(|link| !link.starts_with("http") && !link.starts_with('#'));
        let lost = local.filter(|link| !folder.join(link).exists());
        lost.map(str::to_owned).collect()
    });
}

#[test]
fn every_file_that_the_documents_name_exists() {
    const FOLDERS: [&str; 5] = ["src/", "tests/", "tools/", "docs/", "migrations/"];
    missing(|_, text| {
        let files = words(text).filter(|word| FOLDERS.iter().any(|it| word.starts_with(it)));
        let lost = files.filter(|file| !root().join(file).exists());
        lost.map(str::to_owned).collect()
    });
}

#[test]
fn every_metric_that_the_documents_name_is_measured() {
    let source = read("src/metrics.rs");
    assert!(Metrics::new().encode().contains("# EOF"));
    missing(|_, text| {
        let metrics = words(text).filter_map(|word| word.strip_prefix("trackbox_"));
        let lost = metrics.filter(|name| {
            let name = name.trim_end_matches("_total").trim_end_matches("_seconds");
            !source.contains(name)
        });
        lost.map(str::to_owned).collect()
    });
}

#[test]
fn every_key_that_the_documents_name_is_in_the_configuration() {
    const SECTIONS: [&str; 10] = [
        "facts", "http", "work", "consume", "store", "kafka", "redis", "cache", "tls", "demo",
    ];
    let shipped = read("config.toml");
    missing(|_, text| {
        let keys = words(text).filter_map(|word| {
            let (section, key) = word.split_once('.')?;
            let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            (SECTIONS.contains(&section) && is_key && !["rs", "md", "toml"].contains(&key))
                .then_some(key)
        });
        let lost = keys.filter(|key| {
            let is_set = |line: &str| {
                let line = line.trim_start_matches("# ");
                line.strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with(" ="))
            };
            !shipped.lines().any(is_set)
        });
        lost.map(str::to_owned).collect()
    });
}
