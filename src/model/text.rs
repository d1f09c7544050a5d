//! Texts from outside, as they can be stored.

/// The most characters kept of any one text from outside.
pub const TEXT_CHARS_MAX: usize = 2_000;

/// The most bytes of an event's payload. A longer one is dropped whole, since half a JSON document is useless.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// `text` as it can be stored: without NUL, and cut to [`TEXT_CHARS_MAX`] characters.
pub fn clean_text(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\0')
        .take(TEXT_CHARS_MAX)
        .collect()
}

/// A payload as it can be stored: its JSON, or nothing if it is null or longer than [`PAYLOAD_BYTES_MAX`].
pub fn clean_payload(payload: &serde_json::Value) -> String {
    if payload.is_null() {
        return String::new();
    }
    let json = payload.to_string();
    if json.len() > PAYLOAD_BYTES_MAX {
        String::new()
    } else {
        json
    }
}
