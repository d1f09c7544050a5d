//! `POST /trackings`: creates trackings, or gets those that exist.

use std::collections::{HashMap, HashSet};

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::carriers::routes::{Meant, Routes};
use crate::clock::Time;
use crate::config::keys::quoted;
use crate::http::{ALWAYS, Serve};
use crate::model::number::{LookAlikes, fold};
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::{self, CarrierCode, TrackNumber};
use crate::serving::docs;
use crate::serving::extract::Json;
use crate::serving::id::HasId;
use crate::serving::list::{self, List};
use crate::serving::operation::{Tag, documented, post};
use crate::serving::problem::{ERRORS_MAX, FieldError, Problem};

/// The operations on trackings.
pub const TAG: Tag = Tag {
    name: "trackings",
    description: "The parcels that TrackBox follows: one number at one carrier each.",
    problems: ALWAYS,
};

/// The most items of one request.
pub const ITEMS_MAX: usize = 10_000;

/// The most carrier codes that an error lists.
const KNOWN_CODES_MAX: usize = 20;

/// The parcels to follow.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = docs::all_required)]
pub struct CreateTrackings {
    /// 1 to 10,000 numbers, each with its carrier.
    #[serde(default)]
    #[schemars(with = "Vec<Wanted>", length(min = 1, max = 10_000))]
    items: List<Box<RawValue>, ITEMS_MAX>,
}

/// One number at one carrier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreateTracking")]
struct Wanted {
    /// The carrier's code, as the configuration names it: free text without control characters.
    #[schemars(length(min = 1, max = 64))]
    carrier_code: &'static str,
    /// The number on the parcel: free text without control characters.
    #[schemars(length(min = 1, max = 64))]
    track_number: &'static str,
}

/// Trackings, in the order of the request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Trackings {
    pub trackings: Vec<Tracking>,
}

/// A parcel that TrackBox follows: one number at one carrier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required_but(&["advice"]))]
pub struct Tracking {
    /// A 64-bit number in decimal.
    pub id: String,
    pub carrier_code: String,
    pub track_number: String,
    pub status: Status,
    /// The carrier's own code or text for the status.
    pub status_raw: String,
    /// The time of the event that set the status.
    pub status_at: Option<Time>,
    pub last_checked_at: Option<Time>,
    /// A year ahead if the parcel is no longer checked.
    pub next_check_at: Time,
    /// Failed checks in a row.
    pub check_fail_count: u32,
    /// The error of the last check; empty if it succeeded.
    pub last_error: String,
    pub created_at: Time,
    pub updated_at: Time,
    /// Details of the status.
    pub sub_status: Option<SubStatus>,
    /// To the recipient, or back to the sender.
    pub direction: Direction,
    /// Grows with every visible change.
    pub version: i64,
    /// The events of the carrier's newest answer that could not be read; null if there are none.
    pub unreadable_events: Option<UnreadableEvents>,
    /// Whether the newest event lies more than 90 days before the tracking was created: the number may have been another
    /// parcel's before.
    pub old_history: bool,
    /// What may be wrong with the carrier's code or the number as they were sent, in sentences. Only in the answer to
    /// `POST /trackings`, and only if there is something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

/// Events that could not be read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableEvents {
    pub count: u32,
    /// Why one of them cannot be read, with its words.
    pub example: String,
}

impl HasId for Tracking {
    const NAME: &'static str = "tracking";
    const PARAMETER: &'static str = "trackingId";
    const EXAMPLE: &'static str = "1";
}

impl From<&model::Tracking> for Tracking {
    fn from(row: &model::Tracking) -> Self {
        Self {
            id: row.id.to_string(),
            carrier_code: row.carrier_code.as_str().to_owned(),
            track_number: row.track_number.as_str().to_owned(),
            status: row.status,
            status_raw: row.status_raw.clone(),
            status_at: row.status_at,
            last_checked_at: row.last_checked_at,
            next_check_at: row.next_check_shown(),
            check_fail_count: row.check_fail_count,
            last_error: row.last_error.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            sub_status: row.sub_status,
            direction: row.direction,
            version: row.version,
            unreadable_events: (row.unreadable.count > 0).then(|| UnreadableEvents {
                count: row.unreadable.count,
                example: row.unreadable.example.clone(),
            }),
            old_history: row.has_old_history(),
            advice: Vec::new(),
        }
    }
}

/// Follow parcels
///
/// Creates a tracking for each pair of carrier and number, or gets the existing one. A new tracking is checked at once.
/// Spellings that differ only in blanks, invisible characters and ASCII case are one pair, unless the carrier minds them;
/// the tracking shows what was sent first. The answer is in the order of the items; a repeated pair appears once, at its
/// first place, with the advice on its items. If any item is refused, nothing is created, and the JSON pointer of each bad
/// item is listed.
#[apply(documented)]
async fn create_trackings(
    State(serve): State<Serve>,
    Json(request): Json<CreateTrackings>,
) -> Result<axum::Json<Trackings>, Problem> {
    let wanted = check(request.items, &serve.routes)?;
    let pairs: Vec<_> = wanted.iter().map(|it| it.pair.clone()).collect();
    let rows = serve
        .current
        .create_or_get(&pairs, serve.clock.now())
        .await?;
    Ok(axum::Json(answer(&rows, wanted)))
}

/// Each tracking once, at its first place, with the advice on its items.
fn answer(rows: &[model::Tracking], wanted: Vec<Checked>) -> Trackings {
    let mut advice: HashMap<(String, String), Vec<String>> = HashMap::new();
    for Checked { pair, advice: more } in wanted {
        if !more.is_empty() {
            let known = advice.entry(key(&pair.0, &pair.1)).or_default();
            known.extend(more);
        }
    }
    let mut seen = HashSet::with_capacity(rows.len());
    let rows = rows.iter().filter(|row| seen.insert(row.id));
    let trackings = rows.map(|row| {
        let key = key(&row.carrier_code, &row.track_number);
        let mut advice = advice.get(&key).cloned().unwrap_or_default();
        advice.dedup();
        Tracking {
            advice,
            ..Tracking::from(row)
        }
    });
    Trackings {
        trackings: trackings.collect(),
    }
}

fn key(carrier_code: &CarrierCode, track_number: &TrackNumber) -> (String, String) {
    (fold(carrier_code.as_str()), fold(track_number.as_str()))
}

/// An item that can be created.
struct Checked {
    pair: (CarrierCode, TrackNumber),
    advice: Vec<String>,
}

/// The items in their order; or every mistake, with its place.
fn check(items: List<Box<RawValue>, ITEMS_MAX>, routes: &Routes) -> Result<Vec<Checked>, Problem> {
    let total = items.total;
    if !(1..=ITEMS_MAX).contains(&total) {
        let detail = format!("must have 1 to {ITEMS_MAX} items, this has {total}");
        return Err(Problem::invalid_at(FieldError::at("/items", detail)));
    }
    let known = known_codes(routes);
    let mut wanted = Vec::with_capacity(total);
    let mut errors = Vec::new();
    let mut more_errors = 0;
    let mut bad_items = 0;
    for (place, item) in items.kept.iter().enumerate() {
        match check_item(place, item, routes, &known) {
            Ok(checked) => wanted.push(checked),
            Err(found) => {
                bad_items += 1;
                let room = ERRORS_MAX - errors.len();
                more_errors += found.len().saturating_sub(room);
                errors.extend(found.into_iter().take(room));
            }
        }
    }
    if bad_items == 0 {
        return Ok(wanted);
    }
    let verb = if bad_items == 1 { "is" } else { "are" };
    let more = match more_errors {
        0 => String::new(),
        more => format!("; {more} more errors are not listed"),
    };
    let detail = format!("{bad_items} of {total} items {verb} refused; nothing was created{more}");
    Err(Problem::invalid(detail, errors).with_more_errors(more_errors))
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
}

/// A field that is there; null too, so that an error uses the spelling that was sent.
fn sent<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

fn check_item(
    place: usize,
    item: &RawValue,
    routes: &Routes,
    known: &str,
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
    let carrier_code = read(place, codes, |text| read_code(text, routes, known));
    let track_number = read(place, numbers, read_number);
    match (carrier_code, track_number) {
        (Ok((carrier_code, on_code)), Ok((track_number, on_number))) => Ok(Checked {
            pair: (carrier_code, track_number),
            advice: on_code.into_iter().chain(on_number).collect(),
        }),
        (carrier_code, track_number) => Err([carrier_code.err(), track_number.err()]
            .into_iter()
            .flatten()
            .collect()),
    }
}

/// Why a text without any visible character is refused.
const BLANK: &str = "must have a visible character, this has only blanks and invisible ones";

/// The code of the section that is meant, or else as it was sent, with what may be wrong with it.
fn read_code(
    text: String,
    routes: &Routes,
    known: &str,
) -> Result<(CarrierCode, Option<String>), String> {
    let code = CarrierCode::parse(text).map_err(|error| error.to_string())?;
    if fold(code.as_str()).is_empty() {
        return Err(BLANK.to_owned());
    }
    match routes.meant(&code) {
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

fn known_codes(routes: &Routes) -> String {
    let known = routes.known();
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

/// The tracking that the examples show: just created, or on its way.
pub fn example(on_its_way: bool) -> serde_json::Value {
    let checked_at = on_its_way.then_some("2026-11-20T12:00:01Z");
    json!({
        "id": "1", "carrierCode": "CDEK", "trackNumber": "1234567890",
        "status": if on_its_way { Status::InTransit } else { Status::Unknown },
        "statusRaw": if on_its_way { "ACCEPTED" } else { "UNKNOWN" },
        "statusAt": on_its_way.then_some("2026-11-20T09:30:00Z"),
        "lastCheckedAt": checked_at,
        "nextCheckAt": if on_its_way { "2026-11-20T12:01:01Z" } else { "2026-11-20T12:00:00Z" },
        "checkFailCount": 0, "lastError": "",
        "createdAt": "2026-11-20T12:00:00Z",
        "updatedAt": checked_at.unwrap_or("2026-11-20T12:00:00Z"),
        "subStatus": on_its_way.then_some(SubStatus::InTransitAccepted),
        "direction": Direction::Forward, "version": if on_its_way { 2 } else { 1 }, "unreadableEvents": null, "oldHistory": false,
    })
}

pub fn router() -> ApiRouter<Serve> {
    let wanted = Wanted {
        carrier_code: "CDEK",
        track_number: "1234567890",
    };
    let operation = create_trackings::operation(TAG)
        .request(json!({"items": [wanted]}))
        .answer("The trackings.", json!({"trackings": [example(false)]}));
    ApiRouter::new().api_route("/trackings", post(create_trackings, operation))
}
