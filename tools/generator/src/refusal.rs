//! Why a server refused a request, read from its problem document.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Upper limit of the characters shown of a server's text.
const TEXT_CHARS_MAX: usize = 300;

/// A server's answer to a request that it refused.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    /// One line without control characters.
    pub detail: String,
    /// The refused items of the request by their index, each with its own reason. Empty if the server named none.
    pub bad_items: BTreeMap<usize, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    title: String,
    detail: String,
    errors: Vec<DocumentError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DocumentError {
    pointer: String,
    detail: String,
}

impl Refusal {
    /// Reads the body of an answer. A body that is not a problem document is shown after the status.
    pub fn read(status: &str, body: &[u8]) -> Self {
        let Ok(document) = serde_json::from_slice::<Document>(body) else {
            let text = one_line(&String::from_utf8_lossy(body));
            let detail = [status, &text].join(" ").trim_end().to_owned();
            return Self {
                detail,
                bad_items: BTreeMap::new(),
            };
        };
        let detail = [document.detail, document.title, status.to_owned()]
            .iter()
            .map(|text| one_line(text))
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        let mut bad_items = BTreeMap::new();
        for error in &document.errors {
            if let Some(index) = item_index(&error.pointer) {
                bad_items
                    .entry(index)
                    .or_insert_with(|| one_line(&error.detail));
            }
        }
        Self { detail, bad_items }
    }
}

/// The index in a JSON pointer such as `/items/3/carrierCode`, which may be a URI fragment (`#/items/3`).
fn item_index(pointer: &str) -> Option<usize> {
    let path = pointer.strip_prefix('#').unwrap_or(pointer);
    let index = path.strip_prefix("/items/")?.split('/').next()?;
    index.parse().ok()
}

/// Makes a server's text safe to show: without line breaks and terminal sequences, and not too long.
fn one_line(text: &str) -> String {
    text.trim()
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(TEXT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Refusal;

    #[test]
    fn bad_items_are_found_by_their_pointers() {
        let body = br##"{"title":"Unprocessable","detail":"2 items are wrong","errors":[
            {"pointer":"/items/3/carrierCode","detail":"unknown carrier"},
            {"pointer":"#/items/12","detail":"no object"},
            {"pointer":"/items/3/trackNumber","detail":"too long"},
            {"pointer":"/other","detail":"no item"}]}"##;
        let refusal = Refusal::read("422 Unprocessable Entity", body);
        assert_eq!(refusal.detail, "2 items are wrong");
        let expected = [(3, "unknown carrier"), (12, "no object")];
        assert_eq!(
            refusal.bad_items,
            BTreeMap::from(expected.map(|(index, reason)| (index, reason.to_owned())))
        );
    }

    #[test]
    fn what_is_no_problem_document_is_shown_on_one_line() {
        let refusal = Refusal::read("404 Not Found", b"<h1>\x1b[31mno\nsuch page</h1>");
        assert_eq!(refusal.detail, "404 Not Found <h1> [31mno such page</h1>");
        assert_eq!(Refusal::read("404 Not Found", b"").detail, "404 Not Found");
        assert_eq!(
            Refusal::read("404 Not Found", b"{}").detail,
            "404 Not Found"
        );
    }
}
