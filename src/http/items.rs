//! The items of `POST /trackings`: which can be created, and what is wrong with the others.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::carriers::offer::{Meant, Offer};
use crate::config::keys::quoted;
use crate::http::text::sent;
use crate::http::words;
use crate::model::number::{LookAlikes, fold};
use crate::model::parcel::Words;
use crate::model::{CarrierCode, TrackNumber};
use crate::serving::list::{self, List};
use crate::serving::problem::{ERRORS_MAX, FieldError, Problem};
use crate::store::creating::Wish;

/// The most items of one request.
pub const ITEMS_MAX: usize = 10_000;

/// The most carrier codes that an error lists.
const KNOWN_CODES_MAX: usize = 20;

/// An item that can be created.
pub struct Checked {
    pub wish: Wish,
    pub advice: Vec<String>,
}

/// The items in their order, each as it can be created, or with its mistakes.
///
/// # Errors
/// If there are no items, or too many.
pub fn check(
    items: &List<Box<RawValue>, ITEMS_MAX>,
    offer: Offer<'_>,
) -> Result<Vec<Result<Checked, Vec<FieldError>>>, Problem> {
    let total = items.total;
    if !(1..=ITEMS_MAX).contains(&total) {
        let detail = format!("must have 1 to {ITEMS_MAX} items, this has {total}");
        return Err(Problem::invalid_at(FieldError::at("/items", detail)));
    }
    let mut codes = Codes {
        offer,
        known: known_codes(offer),
        read: HashMap::new(),
    };
    let items = items.kept.iter().enumerate();
    let items = items.map(|(place, item)| check_item(place, item, &mut codes));
    Ok(items.collect())
}

/// The refusal of a whole request for its bad items: every mistake, with its place.
pub fn refusal(total: usize, bad: impl IntoIterator<Item = Vec<FieldError>>) -> Problem {
    let mut errors = Vec::new();
    let mut more_errors = 0;
    let mut bad_items = 0;
    for found in bad {
        bad_items += 1;
        let room = ERRORS_MAX - errors.len();
        more_errors += found.len().saturating_sub(room);
        errors.extend(found.into_iter().take(room));
    }
    let verb = if bad_items == 1 { "is" } else { "are" };
    let more = match more_errors {
        0 => String::new(),
        more => format!("; {more} more errors are not listed"),
    };
    let detail = format!("{bad_items} of {total} items {verb} refused; nothing was created{more}");
    Problem::invalid(detail, errors).with_more_errors(more_errors)
}

/// The fields of an item as they were sent, in both spellings.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow, rename = "carrierCode", deserialize_with = "sent")]
    carrier_code: Option<&'a RawValue>,
    #[serde(borrow, rename = "carrier_code", deserialize_with = "sent")]
    carrier_code_snake_case: Option<&'a RawValue>,
    #[serde(borrow, rename = "trackNumber", deserialize_with = "sent")]
    track_number: Option<&'a RawValue>,
    #[serde(borrow, rename = "track_number", deserialize_with = "sent")]
    track_number_snake_case: Option<&'a RawValue>,
    // Not flattened: what was sent would be lost.
    #[serde(
        borrow,
        rename = "orderId",
        alias = "order_id",
        deserialize_with = "sent"
    )]
    order_id: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    title: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    note: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    labels: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    metadata: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "postalCode",
        alias = "postal_code",
        deserialize_with = "sent"
    )]
    postal_code: Option<&'a RawValue>,
    #[serde(
        borrow,
        rename = "shipDate",
        alias = "ship_date",
        deserialize_with = "sent"
    )]
    ship_date: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    country: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "sent")]
    extra: Option<&'a RawValue>,
}

fn check_item(
    place: usize,
    item: &RawValue,
    codes_read: &mut Codes<'_>,
) -> Result<Checked, Vec<FieldError>> {
    let refused = |detail| vec![FieldError::at(format!("/items/{place}"), detail)];
    let kind = list::kind(item);
    if kind != "an object" {
        return Err(refused(format!(
            "must be an object with carrierCode and trackNumber, this is {kind}"
        )));
    }
    let item: Item<'_> =
        serde_json::from_str(item.get()).map_err(|error| refused(error.to_string()))?;
    let codes = [
        ("carrierCode", item.carrier_code),
        ("carrier_code", item.carrier_code_snake_case),
    ];
    let numbers = [
        ("trackNumber", item.track_number),
        ("track_number", item.track_number_snake_case),
    ];
    let carrier_code = read(place, codes, |text| codes_read.read(text));
    let track_number = read(place, numbers, read_number);
    let mut errors = Vec::new();
    let words = words::Sent {
        order_id: item.order_id,
        title: item.title,
        note: item.note,
        labels: item.labels,
        metadata: item.metadata,
        postal_code: item.postal_code,
        ship_date: item.ship_date,
        country: item.country,
        extra: item.extra,
        ..words::Sent::default()
    };
    let edit = words::read(&words, &format!("/items/{place}"), &mut errors);
    if let Err((field, detail)) = edit.apply(&Words::default()) {
        errors.push(FieldError::at(format!("/items/{place}/{field}"), detail));
    }
    match (carrier_code, track_number) {
        (Ok((carrier_code, on_code)), Ok((track_number, on_number))) if errors.is_empty() => {
            Ok(Checked {
                wish: Wish {
                    pair: (carrier_code, track_number),
                    edit,
                },
                advice: on_code.into_iter().chain(on_number).collect(),
            })
        }
        (carrier_code, track_number) => {
            let names = [carrier_code.err(), track_number.err()];
            Err(names.into_iter().flatten().chain(errors).collect())
        }
    }
}

/// Why a text without any visible character is refused.
const BLANK: &str = "must have a visible character, this has only blanks and invisible ones";

/// The carrier codes of a request: few, each in many items.
struct Codes<'a> {
    offer: Offer<'a>,
    known: String,
    /// What was read of each text. Of long lists of different texts only the first ones are remembered.
    read: HashMap<String, ReadCode>,
}

/// A code with what may be wrong with it, or why it is refused.
type ReadCode = Result<(CarrierCode, Option<String>), String>;

/// How many codes a request remembers.
const CODES_MAX: usize = 100;

impl Codes<'_> {
    fn read(&mut self, text: String) -> ReadCode {
        if let Some(read) = self.read.get(&text) {
            return read.clone();
        }
        let read = read_code(text.clone(), self.offer, &self.known);
        if self.read.len() < CODES_MAX {
            self.read.insert(text, read.clone());
        }
        read
    }
}

/// The code of the section that is meant, or else as it was sent, with what may be wrong with it.
fn read_code(text: String, offer: Offer<'_>, known: &str) -> ReadCode {
    let code = CarrierCode::parse(text).map_err(|error| error.to_string())?;
    if fold(code.as_str()).is_empty() {
        return Err(BLANK.to_owned());
    }
    match offer.meant(&code) {
        Meant::Section(section) => Ok((section, None)),
        Meant::Any { similar } => {
            let sent = quoted(code.as_str());
            let advice = similar.map(|similar| {
                format!(
                    "carrierCode {sent} has no section of its own in the configuration; \
                     if {similar} is meant, send that"
                )
            });
            let advice = advice.or_else(|| mixed("carrierCode", code.as_str()));
            Ok((code, advice))
        }
        Meant::LookAlike(section) => Err(format!(
            "has letters of another alphabet; did you mean {section}?"
        )),
        Meant::Unknown { similar } => {
            let meant = similar.map_or_else(String::new, |it| format!("; did you mean {it}?"));
            Err(format!("is not a known carrier; known are {known}{meant}"))
        }
    }
}

/// The number as it was sent, with what may be wrong with it.
fn read_number(text: String) -> Result<(TrackNumber, Option<String>), String> {
    let number = TrackNumber::parse(text).map_err(|error| error.to_string())?;
    if fold(number.as_str()).is_empty() {
        return Err(BLANK.to_owned());
    }
    let advice = mixed("trackNumber", number.as_str());
    Ok((number, advice))
}

/// The advice on a text with letters that only look Latin.
fn mixed(field: &str, text: &str) -> Option<String> {
    let LookAlikes { letters, latin } = LookAlikes::in_text(text)?;
    let (sent, latin) = (quoted(text), quoted(&latin));
    Some(format!(
        "{field} {sent} mixes alphabets: {letters} only looks Latin; if {latin} is meant, send that"
    ))
}

/// Reads the spelling of a field that was sent.
fn read<T>(
    place: usize,
    spellings: [(&str, Option<&RawValue>); 2],
    parse: impl FnOnce(String) -> Result<T, String>,
) -> Result<T, FieldError> {
    let [camel_case, snake_case] = spellings;
    let (name, json) = match camel_case {
        (_, None) if snake_case.1.is_some() => snake_case,
        _ => camel_case,
    };
    list::string(json)
        .and_then(parse)
        .map_err(|detail| FieldError::at(format!("/items/{place}/{name}"), detail))
}

fn known_codes(offer: Offer<'_>) -> String {
    let known = offer.known();
    let mut shown = known
        .iter()
        .take(KNOWN_CODES_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if known.len() > KNOWN_CODES_MAX {
        shown.push_str(&format!(" and {} more", known.len() - KNOWN_CODES_MAX));
    }
    shown
}
