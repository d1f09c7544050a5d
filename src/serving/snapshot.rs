//! Documents that are checked in under `tests/`, so that a change of the API is a change of a file.

use std::path::Path;

use serde_json::Value;

/// Compares a document with the checked-in one. With TRACKBOX_RENEW=1 it writes it instead.
pub fn compare(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    if std::env::var_os("TRACKBOX_RENEW").is_some_and(|value| value == "1") {
        let text = serde_json::to_string_pretty(document).expect("is JSON") + "\n";
        std::fs::write(&path, text).expect("is written");
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let checked_in: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(
        &checked_in == document,
        "tests/{name} is not what the program says any more. If the change is meant, renew it with \
         `TRACKBOX_RENEW=1 cargo test --lib openapi` and read the difference before you commit it."
    );
}
