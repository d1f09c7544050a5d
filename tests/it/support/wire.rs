//! What a released version wrote: the files in `tests/wire/`.

use std::path::Path;

use serde_json::Value;

/// The text of a file.
pub fn recorded_text(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    std::fs::read_to_string(folder.join(file)).expect("reads the file")
}

/// The content of a JSON file.
pub fn recorded(file: &str) -> Value {
    serde_json::from_str(&recorded_text(file)).expect("is JSON")
}

/// Asserts that each field of `recorded` is in `written` with the same value; `written` may have more.
pub fn assert_keeps(recorded: &Value, written: &Value, place: &str) {
    match (recorded, written) {
        (Value::Object(recorded), Value::Object(written)) => {
            for (field, value) in recorded {
                let place = format!("{place}.{field}");
                let written = written.get(field);
                assert_keeps(
                    value,
                    written.unwrap_or_else(|| panic!("{place} is gone")),
                    &place,
                );
            }
        }
        (Value::Array(recorded), Value::Array(written)) => {
            assert_eq!(recorded.len(), written.len(), "{place}");
            for (recorded, written) in recorded.iter().zip(written) {
                assert_keeps(recorded, written, place);
            }
        }
        _ => assert_eq!(recorded, written, "{place}"),
    }
}
