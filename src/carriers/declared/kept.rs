//! An answer as it may be kept: about one number, without the fields that are about people.

use std::borrow::Cow;
use std::ops::Range;
use std::ptr;

use roxmltree::Node;
use serde_json::Value;

use crate::carriers::blanked::{SECRET_CHARS_MIN, document, replaced};
use crate::carriers::declared::file::{File, Format};
use crate::carriers::declared::items::parts_about;
use crate::carriers::declared::path::Path;
use crate::carriers::declared::xml;
use crate::carriers::{Answer, Asked, reading};

/// The path to a field by names, the outermost first. A field with this path is left out wherever the path begins.
type Names<'f> = Vec<&'f str>;

/// As [`Carrier::kept`](crate::carriers::Carrier::kept). Nothing is kept of what is neither JSON nor XML, since nobody can tell
/// what it holds.
pub fn kept(
    file: &File,
    secrets: &str,
    asked: &[Asked],
    answer: &Answer,
    names: bool,
) -> Vec<Option<Vec<u8>>> {
    let drop = file.item.event.drop.iter();
    let mut dropped: Vec<Names<'_>> = drop.map(|name| vec![name.as_str()]).collect();
    if !names {
        dropped.extend(file.facts.signed_by.iter().map(Path::names));
    }
    dropped.retain(|names| !names.is_empty());
    let bodies = match file.answer.format {
        Format::Json => json(file, secrets, asked, answer, &dropped),
        Format::Xml => {
            let whole = xml(answer, secrets, &dropped).filter(|_| asked.len() == 1);
            vec![whole; asked.len()]
        }
    };
    let secrets: Vec<&str> = secrets
        .lines()
        .filter(|it| it.chars().count() >= SECRET_CHARS_MIN)
        .collect();
    let is_safe = |body: &String| !secrets.iter().any(|secret| body.contains(secret));
    let bodies = bodies.into_iter().map(|body| body.filter(is_safe));
    bodies.map(|body| body.map(String::into_bytes)).collect()
}

fn json(
    file: &File,
    secrets: &str,
    asked: &[Asked],
    answer: &Answer,
    dropped: &[Names<'_>],
) -> Vec<Option<String>> {
    let Ok(value) = reading::json(answer, secrets) else {
        return vec![None; asked.len()];
    };
    let written = |mut value: Value| {
        leave_out(&mut value, dropped, &mut Vec::new());
        Some(value.to_string())
    };
    // Of an answer to a call for one number all of it is about that number, also what names another one.
    let is_single = file.request.numbers == 1;
    let parts = (!is_single).then(|| parts_about(file, asked, &value));
    let Some(parts) = parts.flatten() else {
        let whole = (asked.len() == 1).then(|| written(value)).flatten();
        return vec![whole; asked.len()];
    };
    let mut paths = file.answer.items.iter();
    let path = paths.find(|path| path.members(&value).is_some());
    let part = |parts: Vec<&Value>| {
        if parts.is_empty() {
            return None;
        }
        let is_own = |value: &Value| parts.iter().any(|part| ptr::eq(*part, value));
        written(path?.keeping(&value, &is_own))
    };
    parts.into_iter().map(part).collect()
}

/// Leaves out the dropped fields; `above` are the names of those around.
fn leave_out(value: &mut Value, dropped: &[Names<'_>], above: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            above.push(name.clone());
            let stays = !is_dropped(above, dropped);
            if stays {
                leave_out(value, dropped, above);
            }
            above.pop();
            stays
        }),
        Value::Array(members) => {
            for member in members {
                leave_out(member, dropped, above);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_dropped<T: AsRef<str>>(above: &[T], dropped: &[Names<'_>]) -> bool {
    dropped.iter().any(|names| {
        let end = above.len().checked_sub(names.len());
        let end = end.map(|start| above[start..].iter().map(AsRef::as_ref));
        end.is_some_and(|end| end.eq(names.iter().copied()))
    })
}

fn xml(answer: &Answer, secrets: &str, dropped: &[Names<'_>]) -> Option<String> {
    // It refuses what lies too deep for a recursion.
    xml::read(answer, secrets).ok()?;
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim_start_matches('\u{feff}').trim();
    let document = document(text)?;
    let (mut above, mut places) = (Vec::new(), Vec::new());
    note_dropped(document.root_element(), dropped, &mut above, &mut places);
    places.sort_by_key(|place| place.start);
    Some(replaced(text, &places, |_| Cow::Borrowed("")))
}

/// Notes the places of the dropped elements and attributes in an element, at any depth.
fn note_dropped<'n>(
    node: Node<'n, '_>,
    dropped: &[Names<'_>],
    above: &mut Vec<Cow<'n, str>>,
    places: &mut Vec<Range<usize>>,
) {
    above.push(Cow::Borrowed(node.tag_name().name()));
    if is_dropped(above, dropped) {
        places.push(node.range());
    } else {
        for attribute in node.attributes() {
            above.push(Cow::Owned(format!("@{}", attribute.name())));
            if is_dropped(above, dropped) {
                places.push(attribute.range());
            }
            above.pop();
        }
        for child in node.children().filter(Node::is_element) {
            note_dropped(child, dropped, above, places);
        }
    }
    above.pop();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::carriers::fixture::{access, ok};
    use crate::carriers::{Access, Asked, adapters};
    use crate::model::{CarrierCode, TrackNumber};

    fn asked(number: &str) -> Asked {
        let carrier = CarrierCode::parse("CDEK").expect("a valid code");
        Asked::of(carrier, TrackNumber::parse(number).expect("a valid number"))
    }

    /// What is kept of an answer for each number, as JSON.
    fn kept(adapter: &str, access: Access, numbers: &[&str], answer: &Value) -> Vec<Value> {
        let adapter = adapters::built_in(adapter).expect("is built in");
        let asked: Vec<Asked> = numbers.iter().map(|number| asked(number)).collect();
        let bodies = adapter
            .make(access)
            .kept(&asked, &ok(&answer.to_string()), false);
        let read = |body: Option<Vec<u8>>| {
            body.map_or(Value::Null, |body| {
                serde_json::from_slice(&body).expect("is JSON")
            })
        };
        bodies.into_iter().map(read).collect()
    }

    #[test]
    fn each_number_of_a_batch_gets_its_own_part_and_no_other() {
        let part = |number: &str| json!({"track_number": number, "status": "IN_TRANSIT"});
        let answer = json!({"at": 7, "results": [part("A1"), part("b2"), part("X9"), part("A1")]});
        let numbers = ["A1", "B2", "C3"];
        let kept = kept(
            "emulator-batch",
            access("https://a.example/"),
            &numbers,
            &answer,
        );
        let expected = [
            json!({"at": 7, "results": [part("A1"), part("A1")]}),
            json!({"at": 7, "results": [part("b2")]}),
            Value::Null,
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_name_that_no_message_may_hold_is_cut_out_and_so_is_an_answer_with_a_credential() {
        let detail = json!({"recipient_name": "Ivanov", "date": "2026-11-20"});
        let answer = json!({"entity": {"cdek_number": "1", "delivery_detail": detail}});
        let kept_of = |answer: &Value| {
            let access = Access {
                secret: "s3cret".to_owned(),
                ..access("https://a.example/")
            };
            kept("cdek", access, &["1"], answer)
        };
        let kept = kept_of(&answer);
        let detail = json!({"date": "2026-11-20"});
        assert_eq!(
            kept,
            [json!({"entity": {"cdek_number": "1", "delivery_detail": detail}})]
        );
        assert_eq!(kept_of(&json!({"echo": "key=s3cret"})), [Value::Null]);
    }
}
