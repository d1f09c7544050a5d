//! What shops write about their parcels, as requests have it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::http::extras;
use crate::http::text::{sent, text};
use crate::model::parcel::{
    Edit, LABEL_CHARS_MAX, LABELS_MAX, METADATA_KEY_CHARS_MAX, METADATA_KEYS_MAX, NOTE_CHARS_MAX,
    ORDER_CHARS_MAX, State, TITLE_CHARS_MAX,
};
use crate::serving::docs::{NAMING, PLAIN, PLAIN_LINES};
use crate::serving::list::{self, List};
use crate::serving::problem::FieldError;

/// The fields of a request as they were sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Sent<'a> {
    #[serde(
        borrow,
        rename = "orderId",
        alias = "order_id",
        deserialize_with = "sent"
    )]
    pub order_id: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub title: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub note: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub labels: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub metadata: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "postalCode",
        alias = "postal_code",
        deserialize_with = "sent"
    )]
    pub postal_code: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "shipDate",
        alias = "ship_date",
        deserialize_with = "sent"
    )]
    pub ship_date: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub country: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub extra: Option<&'a RawValue>,
    /// The rest is of a parcel that is there already.
    #[serde(
        borrow,
        rename = "addLabels",
        alias = "add_labels",
        deserialize_with = "sent"
    )]
    pub add_labels: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "removeLabels",
        alias = "remove_labels",
        deserialize_with = "sent"
    )]
    pub remove_labels: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    pub state: Option<&'a RawValue>,
}

impl Sent<'_> {
    /// Whether something is to be added or taken away, though it may be nothing.
    pub fn names_a_list(&self) -> bool {
        self.add_labels.is_some() || self.remove_labels.is_some() || self.extra.is_some()
    }
}

/// What a request may say of a parcel. A field that is left out stays as it is, and null clears it.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ParcelWords")]
pub struct Documented {
    /// The shop's order.
    #[schemars(regex(pattern = PLAIN), length(max = 128))]
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[schemars(regex(pattern = PLAIN), length(max = 200))]
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[schemars(regex(pattern = PLAIN_LINES), length(max = 2_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// At most 20 labels of at most 64 characters.
    #[schemars(with = "Option<Vec<Label>>", length(max = 20))]
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Texts by key: at most 50 keys of at most 40 characters, 4 KiB as JSON. A key whose value is null is removed.
    #[schemars(with = "Metadata", default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, Option<String>>>,
    #[serde(flatten)]
    told: extras::Documented,
}

/// A label.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "documents what is read as text")]
pub struct Label(#[schemars(regex(pattern = NAMING), length(min = 1, max = 64))] String);

/// Texts by key.
#[derive(JsonSchema)]
#[schemars(inline, transform = with_keys)]
#[expect(dead_code, reason = "documents what is read as text")]
struct Metadata(BTreeMap<String, Option<Text>>);

#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "documents what is read as text")]
struct Text(#[schemars(regex(pattern = PLAIN_LINES))] String);

fn with_keys(schema: &mut Schema) {
    let keys = json!({"pattern": NAMING, "minLength": 1, "maxLength": METADATA_KEY_CHARS_MAX});
    schema.insert("propertyNames".to_owned(), keys);
    schema.insert("maxProperties".to_owned(), METADATA_KEYS_MAX.into());
}

impl Documented {
    /// What the examples say.
    pub fn example() -> Self {
        Self {
            order_id: Some("A-17".to_owned()),
            labels: Some(vec!["express".to_owned()]),
            metadata: Some([("warehouse".to_owned(), Some("2".to_owned()))].into()),
            told: extras::Documented::example(),
            ..Self::default()
        }
    }
}

/// Reads what was sent with the parcel at `pointer`. Mistakes are added to `errors`.
pub fn read(sent: &Sent<'_>, pointer: &str, errors: &mut Vec<FieldError>) -> Edit {
    let mut text = |name: &str, json: Option<&RawValue>, max: usize, lines: bool| {
        let read = json.map(|json| text(json, max, lines)).transpose();
        read.unwrap_or_else(|detail| {
            errors.push(FieldError::at(format!("{pointer}/{name}"), detail));
            None
        })
    };
    let mut edit = Edit {
        order_id: text("orderId", sent.order_id, ORDER_CHARS_MAX, false),
        title: text("title", sent.title, TITLE_CHARS_MAX, false),
        note: text("note", sent.note, NOTE_CHARS_MAX, true),
        ..Edit::default()
    };
    if let Some(json) = sent.labels {
        edit.labels = Some(labels(json, &format!("{pointer}/labels"), errors));
    }
    if let Some(json) = sent.metadata {
        edit.metadata = Some(metadata(json, &format!("{pointer}/metadata"), errors));
    }
    if let Some(json) = sent.add_labels {
        edit.add_labels = labels(json, &format!("{pointer}/addLabels"), errors);
    }
    if let Some(json) = sent.remove_labels {
        edit.remove_labels = labels(json, &format!("{pointer}/removeLabels"), errors);
    }
    let told = extras::Sent {
        postal_code: sent.postal_code,
        ship_date: sent.ship_date,
        country: sent.country,
        extra: sent.extra,
    };
    edit.extra = extras::read(&told, pointer, errors);
    if let Some(json) = sent.state {
        match state(json) {
            Ok(state) => edit.state = Some(state),
            Err(detail) => errors.push(FieldError::at(format!("{pointer}/state"), detail)),
        }
    }
    edit
}

/// Labels, trimmed; null is none.
fn labels(json: &RawValue, pointer: &str, errors: &mut Vec<FieldError>) -> Vec<String> {
    let read: Result<List<Box<RawValue>, LABELS_MAX>, _> = serde_json::from_str(json.get());
    let Ok(list) = read else {
        let detail = format!("must be a list of labels, this is {}", list::kind(json));
        errors.push(FieldError::at(pointer, detail));
        return Vec::new();
    };
    if list.total > LABELS_MAX {
        let detail = format!(
            "must have at most {LABELS_MAX} labels, this has {}",
            list.total
        );
        errors.push(FieldError::at(pointer, detail));
        return Vec::new();
    }
    let mut labels = Vec::with_capacity(list.kept.len());
    for (place, json) in list.kept.iter().enumerate() {
        let label = text(json, LABEL_CHARS_MAX, false);
        let label = label.and_then(|label| label.ok_or_else(|| "must not be empty".to_owned()));
        match label {
            Ok(label) => labels.push(label.trim().to_owned()),
            Err(detail) => errors.push(FieldError::at(format!("{pointer}/{place}"), detail)),
        }
    }
    labels.sort_unstable();
    labels.dedup();
    labels
}

fn metadata(
    json: &RawValue,
    pointer: &str,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<String, Option<String>> {
    let mut metadata = BTreeMap::new();
    if list::kind(json) != "an object" {
        let detail = format!("must be an object of texts, this is {}", list::kind(json));
        errors.push(FieldError::at(pointer, detail));
        return metadata;
    }
    let read: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_str(json.get());
    let fields = match read {
        Ok(fields) if fields.len() <= METADATA_KEYS_MAX => fields,
        Ok(fields) => {
            let detail = format!(
                "must have at most {METADATA_KEYS_MAX} keys, this has {}",
                fields.len()
            );
            errors.push(FieldError::at(pointer, detail));
            return metadata;
        }
        Err(error) => {
            errors.push(FieldError::at(pointer, error.to_string()));
            return metadata;
        }
    };
    for (key, json) in fields {
        let at = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        let length = key.chars().count();
        if key.trim().is_empty()
            || length > METADATA_KEY_CHARS_MAX
            || key.chars().any(char::is_control)
        {
            let detail = format!(
                "a key must have 1 to {METADATA_KEY_CHARS_MAX} characters, not only blanks and no control characters; this has {length}"
            );
            errors.push(FieldError::at(at, detail));
            continue;
        }
        if list::kind(&json) == "null" {
            metadata.insert(key, None);
            continue;
        }
        // The limit of all of it together is looked at when it is written.
        match text(&json, usize::MAX, true) {
            Ok(text) => drop(metadata.insert(key, Some(text.unwrap_or_default()))),
            Err(detail) => errors.push(FieldError::at(at, detail)),
        }
    }
    metadata
}

/// A state by its name.
fn state(json: &RawValue) -> Result<State, String> {
    let name = list::string(Some(json)).unwrap_or_default();
    name.parse()
        .map_err(|_| "must be FOLLOWED, STOPPED or ARCHIVED".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    use super::{Sent, read};
    use crate::model::parcel::{Edit, Words};

    fn mistakes(json: &str) -> Vec<String> {
        let sent: Sent<'_> = serde_json::from_str(json).expect("is an object");
        let mut errors = Vec::new();
        read(&sent, "/items/3", &mut errors);
        let pointers = errors.into_iter().filter_map(|error| error.pointer);
        pointers.collect()
    }

    fn edit(json: &str) -> Edit {
        let sent: Sent<'_> = serde_json::from_str(json).expect("is an object");
        let mut errors = Vec::new();
        let edit = read(&sent, "", &mut errors);
        assert_eq!(errors, []);
        edit
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let cases = [
            (r#"{"orderId": 7}"#, "/items/3/orderId"),
            (r#"{"order_id": "a\u0000"}"#, "/items/3/orderId"),
            (r#"{"title": "a\nb"}"#, "/items/3/title"),
            (r#"{"labels": "a"}"#, "/items/3/labels"),
            (r#"{"labels": ["a", 1]}"#, "/items/3/labels/1"),
            (r#"{"labels": ["a", " "]}"#, "/items/3/labels/1"),
            (r#"{"metadata": ["a"]}"#, "/items/3/metadata"),
            (r#"{"metadata": {"a/b": 1}}"#, "/items/3/metadata/a~1b"),
            (r#"{"metadata": {"": "x"}}"#, "/items/3/metadata/"),
        ];
        for (json, pointer) in cases {
            assert_eq!(mistakes(json), [pointer], "{json}");
        }
        let long = format!(r#"{{"title": "{}"}}"#, "ж".repeat(201));
        assert_eq!(mistakes(&long), ["/items/3/title"]);
        let many = format!(r#"{{"labels": [{}"x"]}}"#, r#""x","#.repeat(20));
        assert_eq!(mistakes(&many), ["/items/3/labels"]);
    }

    #[test]
    fn what_is_left_out_stays_and_null_clears() {
        assert_eq!(edit("{}"), Edit::default());
        let cleared =
            edit(r#"{"orderId": null, "title": " ", "labels": null, "metadata": {"k": null}}"#);
        let words = Words {
            order_id: Some("A".to_owned()),
            title: Some("B".to_owned()),
            note: Some("line 1\nline 2".to_owned()),
            labels: vec!["x".to_owned()],
            metadata: [("k".to_owned(), "v".to_owned())].into(),
        };
        let left = cleared.apply(&words).expect("is not too much");
        assert_eq!(
            left,
            Words {
                note: words.note.clone(),
                ..Words::default()
            }
        );
        assert_eq!(
            edit(r#"{"note": "a\nb"}"#).note,
            Some(Some("a\nb".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn any_words_are_read_or_refused(title in any::<String>(), key in any::<String>(), label in any::<String>()) {
            let json = serde_json::json!({"title": title, "labels": [label], "metadata": {key: title}});
            let json = json.to_string();
            let sent: Sent<'_> = serde_json::from_str(&json).expect("is an object");
            let mut errors = Vec::new();
            let edit = read(&sent, "", &mut errors);
            if errors.is_empty() {
                prop_assert!(edit.apply(&Words::default()).is_ok() || json.len() > 4_096);
            }
        }
    }
}
