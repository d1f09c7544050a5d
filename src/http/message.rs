//! A change as programs are told it.
//!
//! Of one id, type, timestamp, changeSeq, the status, the facts and the events never differ. What the shop wrote about the
//! parcel is that of the moment of telling.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Time;
use crate::model::TrackingEvent;
use crate::model::change::Cursor;
use crate::model::facts::Facts;
use crate::model::status::{Direction, Status, SubStatus};
use crate::store::changes::ToldChange;
use crate::store::feed::Kind;

/// All types of changes.
pub const TYPES: [&str; 4] = [
    "tracking.created",
    "tracking.updated",
    "tracking.edited",
    "tracking.removed",
];

/// The most characters of a text of an event.
const EVENT_TEXT_MAX: usize = 500;

/// A change.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Change")]
pub struct Message {
    /// Stays the same however often it is told.
    id: String,
    /// Where to go on behind it.
    cursor: String,
    /// `tracking.created`, `tracking.updated`, `tracking.edited` or `tracking.removed`; more may come.
    #[serde(rename = "type")]
    kind: &'static str,
    /// When it was written; never before that of the change before it.
    timestamp: Time,
    data: Data,
}

/// What a change says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ChangeData")]
struct Data {
    tracking_id: String,
    change_seq: i64,
    carrier_code: Option<String>,
    track_number: Option<String>,
    #[serde(flatten)]
    state: Option<State>,
    order_id: Option<String>,
    /// The shop's own words, of now; left out if the parcel was removed.
    #[serde(flatten)]
    words: Option<Words>,
}

/// Where the parcel was then; left out if it was removed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct State {
    status: Status,
    sub_status: Option<SubStatus>,
    direction: Direction,
    status_raw: String,
    status_at: Option<Time>,
    /// Whether status or subStatus is another than before.
    status_changed: bool,
    /// Null but for `tracking.updated`.
    previous: Option<Previous>,
    /// What the carrier says beside its events, if that changed; else null.
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    facts: Option<Value>,
    /// The new events, oldest first: the newest 20.
    events: Vec<EventData>,
    /// How many new events there were.
    events_total: u32,
    /// Known events that mean something else now, or became superseded or valid again: the newest 20.
    revised: Vec<EventData>,
}

/// What was before.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct Previous {
    status: Status,
    sub_status: Option<SubStatus>,
    /// The facts before, if they changed; else null.
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    facts: Option<Value>,
}

/// What the shop wrote.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct Words {
    title: Option<String>,
    labels: Vec<String>,
    metadata: BTreeMap<String, String>,
    /// FOLLOWED, STOPPED or ARCHIVED.
    state: &'static str,
}

/// An event, without the carrier's own record of it. Texts are cut at 500 characters.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ChangeEvent")]
struct EventData {
    id: String,
    status: Status,
    sub_status: Option<SubStatus>,
    status_raw: String,
    event_time: Time,
    location: String,
    message: String,
    superseded: bool,
}

/// The type of a kind.
pub fn type_of(kind: Kind) -> &'static str {
    let [created, updated, edited, removed] = TYPES;
    match kind {
        Kind::Created => created,
        Kind::Updated => updated,
        Kind::Edited => edited,
        Kind::Removed => removed,
    }
}

/// A change as it is told.
pub fn of(change: &ToldChange) -> Message {
    let identity = &change.identity;
    let detail = change.detail.as_deref().map(serde_json::from_str::<Value>);
    let detail = detail.and_then(Result::ok).unwrap_or_default();
    let text = |name: &str| detail[name].as_str().map(str::to_owned);
    let parcel = change.parcel.as_ref();
    let words = parcel.map(|(.., parcel)| &parcel.words);
    let is_removed = change.kind == Kind::Removed;
    Message {
        id: identity.id(),
        cursor: Cursor::behind(change.seq, identity).text(),
        kind: type_of(change.kind),
        timestamp: change.at,
        data: Data {
            tracking_id: identity.tracking_id.to_string(),
            change_seq: identity.change_seq,
            carrier_code: text("carrierCode")
                .or_else(|| parcel.map(|(code, ..)| code.as_str().to_owned())),
            track_number: text("trackNumber")
                .or_else(|| parcel.map(|(_, number, _)| number.as_str().to_owned())),
            state: (!is_removed).then(|| state(change)),
            order_id: match words {
                Some(words) if !is_removed => words.order_id.clone(),
                Some(_) | None => text("orderId"),
            },
            words: parcel.filter(|_| !is_removed).map(|(.., parcel)| Words {
                title: parcel.words.title.clone(),
                labels: parcel.words.labels.clone(),
                metadata: parcel.words.metadata.clone(),
                state: parcel.state.into(),
            }),
        },
    }
}

fn state(change: &ToldChange) -> State {
    let shown = |facts: &Option<Facts>| facts.as_ref().map(crate::model::shown::facts);
    let facts = change.facts.as_ref();
    State {
        status: change.status,
        sub_status: change.sub_status,
        direction: change.direction,
        status_raw: change.status_raw.clone(),
        status_at: change.status_at,
        status_changed: change
            .was
            .is_some_and(|was| was != (change.status, change.sub_status)),
        previous: change.was.map(|(status, sub_status)| Previous {
            status,
            sub_status,
            facts: facts.and_then(|(was, _)| shown(was)),
        }),
        facts: facts.and_then(|(_, now)| shown(now)),
        events: change.events.iter().map(event).collect(),
        events_total: change.events_total,
        revised: change.revised.iter().map(event).collect(),
    }
}

fn event(row: &TrackingEvent) -> EventData {
    let cut = |text: &str| text.chars().take(EVENT_TEXT_MAX).collect();
    EventData {
        id: row.id.to_string(),
        status: row.event.status,
        sub_status: row.event.sub_status,
        status_raw: cut(&row.event.status_raw),
        event_time: row.event.event_time,
        location: cut(&row.event.location),
        message: cut(&row.event.message),
        superseded: row.superseded,
    }
}

/// The change that the document shows.
pub fn example() -> Value {
    json!({
        "id": "msg_bcih4fspdigchjk77eeyafpitp", "cursor": "AQAAAAAAAAAJoVVoBg", "type": "tracking.updated",
        "timestamp": "2026-11-20T12:00:02Z",
        "data": {
            "trackingId": "1", "changeSeq": 1, "carrierCode": "CDEK", "trackNumber": "1234567890",
            "status": Status::InTransit, "subStatus": SubStatus::InTransitAccepted, "direction": Direction::Forward,
            "statusRaw": "ACCEPTED", "statusAt": "2026-11-20T09:30:00Z", "statusChanged": true,
            "previous": {"status": Status::Unknown, "subStatus": null, "facts": null}, "facts": null,
            "events": [{
                "id": "7", "status": Status::InTransit, "subStatus": SubStatus::InTransitAccepted, "statusRaw": "ACCEPTED",
                "eventTime": "2026-11-20T09:30:00Z", "location": "Moscow", "message": "Accepted at the office",
                "superseded": false,
            }],
            "eventsTotal": 1, "revised": [], "orderId": "A-17", "title": null, "labels": ["express"],
            "metadata": {"warehouse": "2"}, "state": "FOLLOWED",
        },
    })
}
