//! Why a server refused a request: its problem document, as far as it can be read.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The most characters shown of what a server wrote.
const TEXT_CHARS_MAX: usize = 300;

/// What a server said of a request that it refused.
#[derive(Debug, PartialEq)]
pub struct Problem {
    /// One line without control characters.
    pub detail: String,
    /// The items of the request that are to blame, by their place in it, each with its own reason; empty where the
    /// server named none.
    pub bad_items: BTreeMap<usize, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    title: String,
    detail: String,
    errors: Vec<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    pointer: String,
    detail: String,
}

impl Problem {
    /// Reads an answer's body; what is no problem document is shown as it is, behind the status.
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
        for fault in &document.errors {
            if let Some(index) = item_index(&fault.pointer) {
                bad_items
                    .entry(index)
                    .or_insert_with(|| one_line(&fault.detail));
            }
        }
        Self { detail, bad_items }
    }
}

/// The place that a JSON pointer such as `/items/3/carrierCode` names, also as a URI fragment (`#/items/3`).
fn item_index(pointer: &str) -> Option<usize> {
    let path = pointer.strip_prefix('#').unwrap_or(pointer);
    let index = path.strip_prefix("/items/")?.split('/').next()?;
    index.parse().ok()
}

/// Makes a text of a server fit to be shown: no line breaks or terminal sequences, and not too long.
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

    use super::Problem;

    #[test]
    fn bad_items_are_found_by_their_pointers() {
        let body = br##"{"title":"Unprocessable","detail":"2 items are wrong","errors":[
            {"pointer":"/items/3/carrierCode","detail":"unknown carrier"},
            {"pointer":"#/items/12","detail":"no object"},
            {"pointer":"/items/3/trackNumber","detail":"too long"},
            {"pointer":"/other","detail":"no item"}]}"##;
        let problem = Problem::read("422 Unprocessable Entity", body);
        assert_eq!(problem.detail, "2 items are wrong");
        let expected = [(3, "unknown carrier"), (12, "no object")];
        assert_eq!(
            problem.bad_items,
            BTreeMap::from(expected.map(|(index, reason)| (index, reason.to_owned())))
        );
    }

    #[test]
    fn what_is_no_problem_document_is_shown_on_one_line() {
        let problem = Problem::read("404 Not Found", b"<h1>\x1b[31mno\nsuch page</h1>");
        assert_eq!(problem.detail, "404 Not Found <h1> [31mno such page</h1>");
        assert_eq!(Problem::read("404 Not Found", b"").detail, "404 Not Found");
        assert_eq!(
            Problem::read("404 Not Found", b"{}").detail,
            "404 Not Found"
        );
    }
}
