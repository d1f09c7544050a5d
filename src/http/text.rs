//! A text in a request, with its bounds.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::serving::list;

/// A field that is there; null too.
pub fn sent<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

/// A text of at most `max` characters; `None` if it is null or blank.
pub fn text(json: &RawValue, max: usize, lines: bool) -> Result<Option<String>, String> {
    if list::kind(json) == "null" {
        return Ok(None);
    }
    let text = list::string(Some(json))?;
    let is_odd = |c: &char| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'));
    if let Some(odd) = text.chars().find(is_odd) {
        return Err(format!(
            "must have no control characters, this has U+{:04X}",
            u32::from(odd)
        ));
    }
    let length = text.chars().count();
    if length > max {
        return Err(format!(
            "must have at most {max} characters, this has {length}"
        ));
    }
    Ok((!text.trim().is_empty()).then_some(text))
}
