//! A tenant's view of a tracking: what the shop wrote about it, and whether it follows it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::model::extra::{EXTRA_MAX, Extra};
use crate::model::tenant::Tenant;

/// The most labels of a parcel, and the most characters of one.
pub const LABELS_MAX: usize = 20;
pub const LABEL_CHARS_MAX: usize = 64;

/// The most characters of what a shop writes.
pub const ORDER_CHARS_MAX: usize = 128;
pub const TITLE_CHARS_MAX: usize = 200;
pub const NOTE_CHARS_MAX: usize = 2_000;

/// The most keys of the metadata, the most characters of one, and the most bytes of all of it as JSON.
pub const METADATA_KEYS_MAX: usize = 50;
pub const METADATA_KEY_CHARS_MAX: usize = 40;
pub const METADATA_BYTES_MAX: usize = 4 * 1024;

/// Failed checks in a row from which on a parcel counts as failing.
pub const FAILING_FROM: u32 = 3;

/// Whether a shop follows a parcel.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It is checked, and its changes are told.
    #[default]
    Followed,
    /// It stays in the lists, but is not checked for this shop, and its changes are not told.
    Stopped,
    /// As stopped, and out of the lists unless they ask for it.
    Archived,
}

impl State {
    /// Its number in the store.
    pub fn code(self) -> i16 {
        match self {
            Self::Followed => 0,
            Self::Stopped => 1,
            Self::Archived => 2,
        }
    }

    /// The state of that number; one of a newer program counts as stopped.
    pub fn from_code(code: i16) -> Self {
        match code {
            0 => Self::Followed,
            2 => Self::Archived,
            _ => Self::Stopped,
        }
    }
}

/// What a shop wrote about a parcel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    /// The shop's order.
    #[schemars(length(max = 128))]
    pub order_id: Option<String>,
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    #[schemars(length(max = 2_000))]
    pub note: Option<String>,
    /// Sorted, each once.
    #[schemars(length(max = 20))]
    pub labels: Vec<String>,
    /// Texts by key, at most 4 KiB as JSON.
    pub metadata: BTreeMap<String, String>,
}

/// What is to become of a shop's words: what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// `Some(None)` clears it; so for the others.
    pub order_id: Option<Option<String>>,
    pub title: Option<Option<String>>,
    pub note: Option<Option<String>>,
    /// All labels anew.
    pub labels: Option<Vec<String>>,
    pub add_labels: Vec<String>,
    pub remove_labels: Vec<String>,
    /// Values by key; `None` removes one.
    pub metadata: Option<BTreeMap<String, Option<String>>>,
    /// What is told beside the number, by name; `None` takes one away.
    pub extra: BTreeMap<String, Option<String>>,
    pub state: Option<State>,
}

impl Edit {
    /// The same, but its labels are added to those that are there.
    #[must_use]
    pub fn adding_labels(&self) -> Self {
        let mut edit = self.clone();
        let labels = edit.labels.take().into_iter().flatten();
        edit.add_labels.extend(labels);
        edit
    }

    /// What is told beside the number after the edit.
    ///
    /// # Errors
    /// What is too much of it together, as the field and a sentence.
    pub fn told(&self, extra: &Extra) -> Result<Extra, (&'static str, String)> {
        let new = extra.with(&self.extra);
        match new.all().len() {
            0..=EXTRA_MAX => Ok(new),
            count => {
                let detail = format!(
                    "a parcel may have at most {EXTRA_MAX} of them with the postal code, the ship date and the country, with \
                     these it would have {count}"
                );
                Err(("extra", detail))
            }
        }
    }

    /// The words after the edit.
    ///
    /// # Errors
    /// What is too much of them together, as the field and a sentence.
    pub fn apply(&self, words: &Words) -> Result<Words, (&'static str, String)> {
        let mut new = words.clone();
        for (to, from) in [
            (&mut new.order_id, &self.order_id),
            (&mut new.title, &self.title),
            (&mut new.note, &self.note),
        ] {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        if let Some(labels) = &self.labels {
            new.labels.clone_from(labels);
        }
        new.labels.extend(self.add_labels.iter().cloned());
        new.labels.retain(|it| !self.remove_labels.contains(it));
        new.labels.sort_unstable();
        new.labels.dedup();
        for (key, value) in self.metadata.iter().flatten() {
            match value {
                Some(value) => drop(new.metadata.insert(key.clone(), value.clone())),
                None => drop(new.metadata.remove(key)),
            }
        }
        if new.labels.len() > LABELS_MAX {
            let detail = format!(
                "a parcel may have at most {LABELS_MAX} labels, with these it would have {}",
                new.labels.len()
            );
            return Err(("labels", detail));
        }
        if new.metadata.len() > METADATA_KEYS_MAX {
            let detail = format!(
                "a parcel may have at most {METADATA_KEYS_MAX} keys of metadata, with these it would have {}",
                new.metadata.len()
            );
            return Err(("metadata", detail));
        }
        let bytes = new.metadata_json().len();
        if bytes > METADATA_BYTES_MAX {
            let detail = format!(
                "a parcel may have at most {METADATA_BYTES_MAX} bytes of metadata as JSON, with these it would have {bytes}"
            );
            return Err(("metadata", detail));
        }
        Ok(new)
    }
}

impl Words {
    pub fn labels_json(&self) -> String {
        // Texts always serialize.
        serde_json::to_string(&self.labels).unwrap_or_default()
    }

    pub fn metadata_json(&self) -> String {
        serde_json::to_string(&self.metadata).unwrap_or_default()
    }

    /// What an order is looked for by: trimmed, in small letters; `None` if there is none.
    pub fn order_key(&self) -> Option<String> {
        self.order_id.as_deref().map(order_key)
    }
}

/// What an order is looked for by.
pub fn order_key(order_id: &str) -> String {
    order_id.trim().to_lowercase()
}

/// What a number is looked for by: its letters and digits alone, in capitals.
pub fn number_key(number: &str) -> String {
    let kept = number.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_uppercase).collect()
}

/// A tenant's view of a tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub tenant: Tenant,
    pub tracking_id: i64,
    pub state: State,
    pub words: Words,
    /// What the tenant told beside the number.
    pub extra: Extra,
    /// When the tenant first sent it.
    pub created_at: Time,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strum::VariantArray as _;

    use super::{Edit, LABELS_MAX, State, Words, number_key, order_key};

    #[test]
    fn a_state_is_found_again_by_its_number() {
        for state in State::VARIANTS {
            assert_eq!(State::from_code(state.code()), *state);
        }
    }

    #[test]
    fn an_edit_changes_what_it_names() {
        let words = Words {
            order_id: Some("A-1".to_owned()),
            title: Some("Shoes".to_owned()),
            labels: vec!["a".to_owned(), "b".to_owned()],
            metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ..Words::default()
        };
        let edit = Edit {
            title: Some(None),
            add_labels: vec!["c".to_owned(), "a".to_owned()],
            remove_labels: vec!["b".to_owned()],
            metadata: Some(BTreeMap::from([
                ("k".to_owned(), None),
                ("l".to_owned(), Some("w".to_owned())),
            ])),
            ..Edit::default()
        };
        let new = edit.apply(&words).expect("is not too much");
        assert_eq!(new.order_id, words.order_id);
        assert_eq!(new.title, None);
        assert_eq!(new.labels, ["a", "c"]);
        assert_eq!(new.metadata_json(), r#"{"l":"w"}"#);
        assert_eq!(Edit::default().apply(&words), Ok(words));
    }

    #[test]
    fn what_is_too_much_together_is_refused() {
        let words = Words {
            labels: (0..LABELS_MAX).map(|n| n.to_string()).collect(),
            ..Words::default()
        };
        let edit = Edit {
            add_labels: vec!["one more".to_owned()],
            ..Edit::default()
        };
        assert_eq!(
            edit.apply(&words).map_err(|(field, _)| field),
            Err("labels")
        );
        let edit = Edit {
            metadata: Some(BTreeMap::from([("k".to_owned(), Some("x".repeat(4_096)))])),
            ..Edit::default()
        };
        assert_eq!(
            edit.apply(&words).map_err(|(field, _)| field),
            Err("metadata")
        );
    }

    #[test]
    fn numbers_and_orders_are_looked_for_as_people_write_them() {
        assert_eq!(number_key(" ra-123 456.789ru "), "RA123456789RU");
        assert_eq!(order_key("  Заказ-17 "), "заказ-17");
    }
}
