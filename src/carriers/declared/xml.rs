//! An XML answer as JSON, so that one kind of path reads both.
//!
//! An element becomes its text, or an object of its children if it has any or is empty; several of one name become a list. Names are
//! local: carriers change their prefixes. An attribute is `@name`, the text beside attributes or children `#`.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

use crate::carriers::reading::complaint::no_json;
use crate::carriers::{Answer, CarrierError};

/// The most nodes of an answer: of 8 MiB, each of about 40 bytes.
const NODES_MAX: u32 = 200_000;

/// How deep elements may lie in each other.
const DEPTH_MAX: usize = 100;

/// A text as it may stand in XML.
pub fn escaped(text: &str) -> String {
    // XML 1.0 has no other control characters, not even escaped.
    let is_xml = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars()
        .filter(is_xml)
        .fold(String::new(), |mut text, c| {
            match c {
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                '&' => text.push_str("&amp;"),
                '"' => text.push_str("&quot;"),
                '\'' => text.push_str("&apos;"),
                other => text.push(other),
            }
            text
        })
}

/// A whole answer; its root element stands under its name. `key` is as in [`reading::json`](crate::carriers::reading::json).
///
/// # Errors
/// [`CarrierError::Unreadable`] if it is not XML; the account's error if it is a page for people.
pub fn read(answer: &Answer, key: &str) -> Result<Value, CarrierError> {
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim_start_matches('\u{feff}').trim();
    let begin: String = text.chars().take(15).collect::<String>().to_lowercase();
    let is_page = begin.starts_with("<!doctype html") || begin.starts_with("<html");
    if (is_page || !text.starts_with('<'))
        && let Some(error) = no_json(answer, key)
    {
        return Err(error);
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let unreadable = |reason: String| CarrierError::Unreadable { reason };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        let at = error.pos();
        unreadable(format!("it is not XML, line {} column {}", at.row, at.col))
    })?;
    let root = document.root_element();
    let value = element(root, 0).ok_or_else(|| {
        unreadable(format!(
            "its elements lie more than {DEPTH_MAX} deep in each other"
        ))
    })?;
    let name = root.tag_name().name().to_owned();
    Ok(Value::Object(Map::from_iter([(name, value)])))
}

/// An element; `None` if it is too deep.
fn element(node: Node<'_, '_>, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut fields = Map::new();
    for attribute in node.attributes() {
        let name = format!("@{}", attribute.name());
        fields.insert(name, Value::from(attribute.value()));
    }
    let mut text = String::new();
    for child in node.children() {
        if child.is_text() {
            text.push_str(child.text().unwrap_or_default());
        } else if child.is_element() {
            let value = element(child, depth + 1)?;
            match fields.get_mut(child.tag_name().name()) {
                Some(Value::Array(members)) => members.push(value),
                Some(one) => *one = Value::Array(vec![one.take(), value]),
                None => drop(fields.insert(child.tag_name().name().to_owned(), value)),
            }
        }
    }
    let text = text.trim();
    if fields.is_empty() && !text.is_empty() {
        return Some(Value::from(text));
    }
    if !text.is_empty() {
        fields.insert("#".to_owned(), Value::from(text));
    }
    Some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    use super::{DEPTH_MAX, read};
    use crate::carriers::fixture::ok;
    use crate::carriers::{Answer, FailureOf};

    #[test]
    fn elements_become_objects_lists_and_texts() {
        let xml = "<s:E xmlns:s='u'><s:R a='1'> t </s:R><R><x/></R><n> 7 </n></s:E>";
        let expected = json!({"E": {"R": [{"@a": "1", "#": "t"}, {"x": {}}], "n": "7"}});
        assert_eq!(read(&ok(xml), ""), Ok(expected));
    }

    #[test]
    fn what_is_no_xml_is_told_and_a_page_is_the_accounts() {
        let deep = format!(
            "{}{}",
            "<a>".repeat(DEPTH_MAX + 9),
            "</a>".repeat(DEPTH_MAX + 9)
        );
        for broken in [
            "<a>",
            "<a></b>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "",
            &deep,
        ] {
            let error = read(&ok(broken), "").expect_err(broken);
            assert_eq!(error.failure_of(), FailureOf::Number, "{error}");
        }
        let page = read(&ok("<html><title>Log in</title></html>"), "").expect_err("is a page");
        assert_eq!(page.failure_of(), FailureOf::Account, "{page}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&Answer { status: 200, body }, "k3y"));
        }

        #[test]
        fn anything_like_xml_is_read_or_refused(body in "[<>/ab'\" =&;!\\[\\]-]{0,60}") {
            drop(read(&ok(&body), "k3y"));
        }
    }
}
