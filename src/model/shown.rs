//! A tracking as clients are shown it: its JSON, made once, kept by the cache and joined into answers.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock::Time;
use crate::model::Tracking;
use crate::model::facts::{Expected, Facts, NumberKind, Related};
use crate::model::status::{Direction, Status, SubStatus};

/// A tracking's JSON. A clone is the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: i64,
    pub version: i64,
    /// The fields of [`Fields`] with a comma before each, without braces. The id that a client knows goes before them, and
    /// what only it is shown may follow.
    pub fields: Arc<[u8]>,
}

impl Shown {
    pub fn of(row: &Tracking) -> Self {
        // Texts, numbers and times always serialize.
        let mut json = serde_json::to_vec(&Fields::of(row)).unwrap_or_default();
        json.pop();
        if let Some(brace) = json.first_mut() {
            *brace = b',';
        }
        Self {
            id: row.id,
            version: row.version,
            fields: json.into(),
        }
    }
}

/// What stands before the name of who took the parcel. Within a text its quotes are escaped, so it stands nowhere else.
const SIGNED_BY: &[u8] = br#""signedBy":""#;

impl Shown {
    /// Whether it holds the name of a person.
    pub fn has_names(&self) -> bool {
        self.name().is_some()
    }

    /// The same without the names of people.
    #[must_use]
    pub fn without_names(&self) -> Self {
        let Some((begin, end)) = self.name() else {
            return self.clone();
        };
        let fields = [&self.fields[..begin], b"null", &self.fields[end..]].concat();
        Self {
            fields: fields.into(),
            ..self.clone()
        }
    }

    /// Where the name stands, with its quotes.
    fn name(&self) -> Option<(usize, usize)> {
        let mut places = self.fields.windows(SIGNED_BY.len());
        let begin = places.position(|it| it == SIGNED_BY)? + SIGNED_BY.len();
        let mut escaped = false;
        let is_end = |byte: &u8| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        };
        let length = self.fields[begin..].iter().position(is_end)?;
        Some((begin - 1, begin + length + 1))
    }
}

/// What a client is shown of a tracking beside its id.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fields<'a> {
    carrier_code: &'a str,
    track_number: &'a str,
    status: Status,
    /// The carrier's own code or text for the status.
    status_raw: &'a str,
    /// The time of the event that set the status.
    status_at: Option<Time>,
    last_checked_at: Option<Time>,
    /// A year ahead if the parcel is no longer checked.
    next_check_at: Time,
    /// Failed checks in a row.
    check_fail_count: u32,
    /// The error of the last check; empty if it succeeded.
    last_error: &'a str,
    updated_at: Time,
    /// Details of the status.
    sub_status: Option<SubStatus>,
    /// To the recipient, or back to the sender.
    direction: Direction,
    /// Grows with every visible change.
    version: i64,
    /// How many changes of it were told so far: what the last one is numbered by.
    change_seq: i64,
    /// When the last of them came; null before the first.
    changed_at: Option<Time>,
    /// The events of the carrier's newest answer that could not be read; null if there are none.
    unreadable_events: Option<UnreadableEvents<'a>>,
    /// Whether the newest event lies more than 90 days before the tracking was created: the number may have been another
    /// parcel's before.
    old_history: bool,
    /// What the carrier says beside its events, by the newest answer that has any of it; null if none had. A part that is not
    /// known is null.
    facts: Option<ShownFacts<'a>>,
}

/// What a carrier says of a parcel beside its events.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Facts")]
struct ShownFacts<'a> {
    /// The earliest time of delivery that the carrier expects: a time in UTC such as `2026-12-03T09:00:00Z`, or a day such
    /// as `2026-12-03` if it gives no time of day. A day is that of the place of delivery.
    #[schemars(with = "Option<String>", example = "2026-12-03")]
    expected_from: Option<Expected>,
    /// The latest; the same as the earliest if the carrier gives only one.
    #[schemars(with = "Option<String>", example = "2026-12-03")]
    expected_to: Option<Expected>,
    /// Who took the parcel; null unless the setting `facts.in_messages` lets names pass.
    signed_by: Option<&'a str>,
    pieces: Option<u32>,
    /// The carrier's product, in its own words.
    service: Option<&'a str>,
    /// Where it comes from, as the carrier writes it.
    origin: Option<&'a str>,
    /// Where it goes to, as the carrier writes it.
    destination: Option<&'a str>,
    /// Its other numbers, at most 20.
    numbers: Vec<ShownNumber<'a>>,
}

/// Another number of a parcel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RelatedNumber")]
struct ShownNumber<'a> {
    kind: NumberKind,
    number: &'a str,
}

/// Events that could not be read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UnreadableEvents")]
struct UnreadableEvents<'a> {
    count: u32,
    /// Why one of them cannot be read, with its words.
    example: &'a str,
}

/// Facts as clients are shown them.
pub fn facts(facts: &Facts) -> serde_json::Value {
    // Texts, numbers and times always serialize.
    serde_json::to_value(ShownFacts::of(facts)).unwrap_or_default()
}

impl<'a> Fields<'a> {
    fn of(row: &'a Tracking) -> Self {
        Self {
            carrier_code: row.carrier_code.as_str(),
            track_number: row.track_number.as_str(),
            status: row.status,
            status_raw: &row.status_raw,
            status_at: row.status_at,
            last_checked_at: row.last_checked_at,
            next_check_at: row.next_check_shown(),
            check_fail_count: row.check_fail_count,
            last_error: &row.last_error,
            updated_at: row.updated_at,
            sub_status: row.sub_status,
            direction: row.direction,
            version: row.version,
            change_seq: row.change_seq,
            changed_at: row.changed_at,
            unreadable_events: (row.unreadable.count > 0).then_some(UnreadableEvents {
                count: row.unreadable.count,
                example: &row.unreadable.example,
            }),
            old_history: row.has_old_history(),
            facts: row.facts.as_ref().map(|told| ShownFacts::of(&told.facts)),
        }
    }
}

impl<'a> ShownFacts<'a> {
    fn of(facts: &'a Facts) -> Self {
        let number = |it: &'a Related| ShownNumber {
            kind: it.kind,
            number: it.number.as_str(),
        };
        Self {
            expected_from: facts.expected_from,
            expected_to: facts.expected_to,
            signed_by: facts.signed_by.as_deref(),
            pieces: facts.pieces,
            service: facts.service.as_deref(),
            origin: facts.origin.as_deref(),
            destination: facts.destination.as_deref(),
            numbers: facts.numbers.iter().map(number).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::Shown;
    use crate::model::Tracking;
    use crate::model::facts::{Facts, Told};
    use crate::model::fixture::{at, tracking};

    fn row(signed_by: Option<&str>, raw: &str) -> Tracking {
        Tracking {
            status_raw: raw.to_owned(),
            last_error: raw.to_owned(),
            facts: Some(Box::new(Told {
                facts: Facts {
                    signed_by: signed_by.map(str::to_owned),
                    service: Some(raw.to_owned()),
                    ..Facts::default()
                },
                checked_at: at(0),
                check_id: uuid::Uuid::nil(),
            })),
            ..tracking(1, 1)
        }
    }

    proptest! {
        #[test]
        fn without_names_it_is_what_it_would_be_if_there_were_none(name in any::<String>(), raw in any::<String>()) {
            for raw in [raw.as_str(), r#","signedBy":"x"#, r#"\","signedBy":""#] {
                let shown = Shown::of(&row(Some(&name), raw));
                prop_assert!(shown.has_names());
                let bare = Shown::of(&row(None, raw));
                prop_assert_eq!(shown.without_names().fields, bare.fields.clone());
                prop_assert!(!bare.has_names());
                prop_assert_eq!(bare.without_names(), bare);
            }
        }
    }
}
