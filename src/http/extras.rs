//! What shops tell of their parcels beside the number, as requests have it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::http::text::text;
use crate::model::extra::{
    COUNTRY, EXTRA_CHARS_MAX, EXTRA_MAX, EXTRA_NAME_CHARS_MAX, POSTAL_CODE, SHIP_DATE,
};
use crate::serving::docs::PLAIN;
use crate::serving::list;
use crate::serving::problem::FieldError;

/// The most names beside the three that have fields of their own.
const OTHERS_MAX: usize = EXTRA_MAX - 3;

/// The most characters of a postal code: more than the longest of the Universal Postal Union's members has, with a blank.
const POSTAL_CODE_CHARS_MAX: usize = 16;

/// The fields of a request as they were sent.
pub struct Sent<'a> {
    pub postal_code: Option<&'a RawValue>,
    pub ship_date: Option<&'a RawValue>,
    pub country: Option<&'a RawValue>,
    pub extra: Option<&'a RawValue>,
}

/// What a request may tell, for the carriers that ask for it. Only you are shown it. A field that is left out stays as it is, and
/// null clears it.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Documented {
    /// The addressee's: 1 to 16 letters, digits, blanks and hyphens.
    #[schemars(regex(pattern = "^[A-Za-z0-9 -]*$"), length(max = 16))]
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    /// The day it was shipped, as 2026-11-30.
    #[schemars(regex(pattern = "^(20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    ship_date: Option<String>,
    /// ISO 3166-1, two letters.
    #[schemars(regex(pattern = "^([A-Za-z]{2})?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    /// What else the carrier's file names, by its name there: at most 10 texts of at most 64 characters. Null removes one.
    #[schemars(with = "Option<Others>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<BTreeMap<String, Option<String>>>,
}

#[derive(JsonSchema)]
#[schemars(inline, transform = with_names)]
#[expect(dead_code, reason = "documents what is read as text")]
struct Others(BTreeMap<String, Option<Told>>);

#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "documents what is read as text")]
struct Told(#[schemars(regex(pattern = PLAIN), length(max = 64))] String);

fn with_names(schema: &mut Schema) {
    let known = [POSTAL_CODE, SHIP_DATE, COUNTRY];
    let names = json!({"pattern": "^[a-z0-9_]+$", "maxLength": EXTRA_NAME_CHARS_MAX, "not": {"enum": known}});
    schema.insert("propertyNames".to_owned(), names);
    schema.insert("maxProperties".to_owned(), OTHERS_MAX.into());
}

impl Documented {
    /// What the examples tell.
    pub fn example() -> Self {
        Self {
            postal_code: Some("10115".to_owned()),
            ..Self::default()
        }
    }
}

/// Reads what was sent with the parcel at `pointer`: values by name, `None` for one that is cleared. Mistakes are added to
/// `errors`; they do not repeat the value.
pub fn read(
    sent: &Sent<'_>,
    pointer: &str,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<String, Option<String>> {
    let mut told = BTreeMap::new();
    let fields = [
        (
            "postalCode",
            POSTAL_CODE,
            sent.postal_code,
            postal_code as Rule,
        ),
        ("shipDate", SHIP_DATE, sent.ship_date, ship_date),
        ("country", COUNTRY, sent.country, country),
    ];
    for (field, name, json, rule) in fields {
        let Some(json) = json else {
            continue;
        };
        let value = text(json, usize::MAX, false);
        let value = value.and_then(|value| value.as_deref().map(str::trim).map(rule).transpose());
        match value {
            Ok(value) => drop(told.insert(name.to_owned(), value)),
            Err(detail) => errors.push(FieldError::at(format!("{pointer}/{field}"), detail)),
        }
    }
    if let Some(json) = sent.extra {
        others(json, &format!("{pointer}/extra"), &mut told, errors);
    }
    told
}

/// Reads a trimmed text that is not blank.
type Rule = fn(&str) -> Result<String, String>;

fn postal_code(text: &str) -> Result<String, String> {
    let of_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-');
    if text.len() <= POSTAL_CODE_CHARS_MAX && text.chars().all(of_code) {
        return Ok(text.to_ascii_uppercase());
    }
    Err(
        "must have 1 to 16 letters, digits, blanks and hyphens, such as 10115 or SW1A 1AA"
            .to_owned(),
    )
}

fn ship_date(text: &str) -> Result<String, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    match day.map(|day| day.format("%Y-%m-%d").to_string()) {
        // Ten characters: a year of four digits, and nothing left out.
        Ok(day) if day == text && text.starts_with("20") && text.len() == 10 => Ok(day),
        _ => Err("must be a day such as 2026-11-30".to_owned()),
    }
}

fn country(text: &str) -> Result<String, String> {
    if text.len() == 2 && text.chars().all(|c| c.is_ascii_alphabetic()) {
        return Ok(text.to_ascii_uppercase());
    }
    Err("must be the two letters of a country, such as DE (ISO 3166-1)".to_owned())
}

/// Reads what is told by other names.
fn others(
    json: &RawValue,
    pointer: &str,
    told: &mut BTreeMap<String, Option<String>>,
    errors: &mut Vec<FieldError>,
) {
    let mut wrong = |at: String, detail: String| errors.push(FieldError::at(at, detail));
    let read: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_str(json.get());
    // Clients from before this field may send another of this name, and what is not known is ignored.
    let (Ok(fields), "an object") = (read, list::kind(json)) else {
        return;
    };
    if fields.len() > OTHERS_MAX {
        let detail = format!(
            "must have at most {OTHERS_MAX} names, this has {}",
            fields.len()
        );
        return wrong(pointer.to_owned(), detail);
    }
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    for (name, json) in fields {
        let at = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let field = match name.as_str() {
            POSTAL_CODE => Some("postalCode"),
            SHIP_DATE => Some("shipDate"),
            COUNTRY => Some(COUNTRY),
            _ => None,
        };
        if let Some(field) = field {
            wrong(at, format!("is told by the field {field} beside extra"));
        } else if !(1..=EXTRA_NAME_CHARS_MAX).contains(&name.len()) || !name.chars().all(of_name) {
            let detail = format!(
                "a name must have 1 to {EXTRA_NAME_CHARS_MAX} small letters, digits and _, as the carrier's file has it"
            );
            wrong(at, detail);
        } else {
            match text(&json, EXTRA_CHARS_MAX, false) {
                Ok(value) => drop(told.insert(name, value)),
                Err(detail) => wrong(at, detail),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    use super::{Sent, read};
    use crate::model::parcel::Edit;
    use crate::serving::problem::FieldError;

    /// What is read of the fields of a parcel.
    fn told(json: &str) -> (BTreeMap<String, Option<String>>, Vec<FieldError>) {
        let sent: BTreeMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(json).expect("is an object");
        let field = |name: &str| sent.get(name).map(AsRef::as_ref);
        let mut errors = Vec::new();
        let sent = Sent {
            postal_code: field("postalCode"),
            ship_date: field("shipDate"),
            country: field("country"),
            extra: field("extra"),
        };
        (read(&sent, "", &mut errors), errors)
    }

    #[test]
    fn what_is_told_is_kept_in_one_spelling() {
        let json = r#"{"postalCode": " sw1a 1aa ", "shipDate": "2026-11-30", "country": "gb", "extra": {"phone": "12"}}"#;
        let (values, errors) = told(json);
        assert_eq!(errors, []);
        let values: Vec<_> = values
            .iter()
            .map(|(name, it)| (&**name, it.as_deref()))
            .collect();
        let expected = [
            ("country", Some("GB")),
            ("phone", Some("12")),
            ("postal_code", Some("SW1A 1AA")),
            ("ship_date", Some("2026-11-30")),
        ];
        assert_eq!(values, expected);
        let (cleared, errors) =
            told(r#"{"postalCode": null, "country": " ", "extra": {"phone": null}}"#);
        assert_eq!(errors, []);
        assert!(
            cleared.len() == 3 && cleared.values().all(Option::is_none),
            "{cleared:?}"
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_without_the_value() {
        for (json, pointer) in [
            (r#"{"postalCode": "12345678901234567"}"#, "/postalCode"),
            (r#"{"postalCode": "Überall"}"#, "/postalCode"),
            (r#"{"postalCode": 10115}"#, "/postalCode"),
            (r#"{"shipDate": "30.11.2026"}"#, "/shipDate"),
            (r#"{"shipDate": "2026-02-30"}"#, "/shipDate"),
            (r#"{"shipDate": "12026-11-30"}"#, "/shipDate"),
            (r#"{"country": "Germany"}"#, "/country"),
            (r#"{"extra": {"Phone": "1"}}"#, "/extra/Phone"),
            (r#"{"extra": {"phone": 1}}"#, "/extra/phone"),
            (
                r#"{"extra": {"postal_code": "10115"}}"#,
                "/extra/postal_code",
            ),
        ] {
            let (_, errors) = told(json);
            let pointers: Vec<_> = errors.iter().map(|it| it.pointer.as_deref()).collect();
            assert_eq!(pointers, [Some(pointer)], "{json}");
            for value in ["12345678901234567", "Überall", "Germany"] {
                assert!(!errors[0].detail.contains(value), "{json}");
            }
        }
    }

    #[test]
    fn another_field_of_that_name_is_ignored_as_before() {
        for json in [
            r#"{"extra": [1]}"#,
            r#"{"extra": "x"}"#,
            r#"{"extra": null}"#,
        ] {
            assert_eq!(told(json), (BTreeMap::new(), Vec::new()), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_read_or_refused(value in any::<String>(), name in any::<String>()) {
            let json = serde_json::json!({"postalCode": value, "shipDate": value, "country": value, "extra": {name: value}});
            let (values, errors) = told(&json.to_string());
            prop_assert!(values.len() + errors.len() == 4);
            let edit = Edit { extra: values, ..Edit::default() };
            prop_assert!(edit.told(&crate::model::extra::Extra::default()).is_ok());
        }
    }
}
