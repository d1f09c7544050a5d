//! API documents that are checked in under `tests/`, so that a change of the API is a change of a file.
//!
//! Plain JSON files, unlike other snapshots: a validator and clients read them too.

use std::path::Path;

use serde_json::Value;

/// Compares a document with the checked-in one. `INSTA_UPDATE=always` writes it instead, as it does other snapshots.
pub fn compare(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        let text = serde_json::to_string_pretty(document).expect("is JSON") + "\n";
        std::fs::write(&path, text).expect("is written");
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let checked_in: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(
        &checked_in == document,
        "the document differs from tests/{name}. If you meant to change the API, write the file anew with \
         `INSTA_UPDATE=always cargo test --lib openapi` and read the diff before you commit it."
    );
}
