//! `GET /carriers`: how the accounts at the carriers stand. `GET /carriers/unmapped`: codes that nobody understands yet.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::carriers::routes::Account;
use crate::clock::Time;
use crate::http::Serve;
use crate::http::accounts::{self, Standing, Waiting};
use crate::serving::extract::Query;
use crate::serving::problem::{Kind, Problem};
use crate::serving::{docs, page};
use crate::store::events;

/// The tag of the operations on carriers in the document.
pub const TAG: &str = "carriers";

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 500;

/// The accounts at the carriers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Carriers {
    carriers: Vec<Carrier>,
    /// Trackings that nobody checks: the configuration has no section for their carrier, nor `*`.
    unrouted: Vec<Unrouted>,
}

/// An account at a carrier: who shares its limits, and how it stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct Carrier {
    /// The account's name: the section's `budget`, else the section's own name.
    account: String,
    /// The sections of the configuration that share it; `*` takes every code without one.
    codes: Vec<String>,
    adapter: String,
    limits: CarrierLimits,
    /// Calls made today (UTC); null where the day has no limit.
    used_today: Option<i64>,
    /// Until when no calls are made; null where they are.
    paused_until: Option<Time>,
    /// Why; empty where calls are made.
    pause_reason: String,
    /// Calls that failed altogether, in a row.
    failed_in_a_row: u32,
    /// Trackings that are still checked.
    active: i64,
    /// Of these, how many wait to be checked now.
    due: i64,
    /// Of these, how many could not be checked last time.
    failing: i64,
}

/// The most calls; null where there is no limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Limits", transform = docs::all_required)]
pub struct CarrierLimits {
    per_second: Option<u32>,
    per_minute: Option<u32>,
    per_day: Option<u32>,
    /// How many calls may go out at once after a rest.
    burst: u32,
    /// How many calls may be under way at once.
    concurrency: usize,
}

/// Trackings of a carrier that the configuration leads nowhere.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unrouted {
    carrier_code: String,
    active: i64,
}

impl CarrierLimits {
    pub fn of(account: &Account) -> Self {
        let limit = |limit: u32| (limit > 0).then_some(limit);
        Self {
            per_second: limit(account.limits.per_second),
            per_minute: limit(account.limits.per_minute),
            per_day: limit(account.limits.per_day),
            burst: account.limits.burst,
            concurrency: account.slots,
        }
    }
}

impl From<Standing> for Carrier {
    fn from(standing: Standing) -> Self {
        let account = &standing.account;
        let Waiting {
            active,
            due,
            failing,
        } = standing.waiting;
        Self {
            account: account.name.clone(),
            codes: account.codes.clone(),
            adapter: account.adapter.clone(),
            limits: CarrierLimits::of(account),
            used_today: standing.used_today,
            paused_until: standing.paused_until,
            pause_reason: standing.pause_reason,
            failed_in_a_row: standing.fails,
            active,
            due,
            failing,
        }
    }
}

/// Answers how every account stands.
pub async fn carriers(State(serve): State<Serve>) -> Result<axum::Json<Carriers>, Problem> {
    let standings = accounts::standings(&serve).await?;
    let unrouted = standings
        .unrouted
        .into_iter()
        .map(|(carrier_code, waiting)| Unrouted {
            carrier_code,
            active: waiting.active,
        });
    Ok(axum::Json(Carriers {
        carriers: standings.accounts.into_iter().map(Carrier::from).collect(),
        unrouted: unrouted.collect(),
    }))
}

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Most {
    /// How many at most: 1 to 500, default 100.
    #[schemars(with = "Option<i64>", example = 100)]
    limit: Option<String>,
}

/// Carriers' codes that no adapter has a status for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UnmappedCodes {
    unmapped: Vec<Unmapped>,
}

/// A carrier's code or text that no adapter has a status for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unmapped {
    carrier_code: String,
    status_raw: String,
    /// The text of one such event.
    message: String,
    /// How many of the newest 100,000 unmapped events carry it.
    count: i64,
    last_seen_at: Time,
    /// One tracking that has it.
    tracking_id: String,
}

impl From<events::Unmapped> for Unmapped {
    fn from(row: events::Unmapped) -> Self {
        Self {
            carrier_code: row.carrier_code,
            status_raw: row.status_raw,
            message: row.message,
            count: row.count,
            last_seen_at: row.last_seen_at,
            tracking_id: row.tracking_id.to_string(),
        }
    }
}

/// Answers the codes, the most frequent first.
pub async fn unmapped(
    State(serve): State<Serve>,
    Query(most): Query<Most>,
) -> Result<axum::Json<UnmappedCodes>, Problem> {
    let limit = page::limit(most.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)
        .map_err(Problem::invalid_at)?;
    let rows = serve.store.unmapped(limit).await?;
    let unmapped = rows.into_iter().map(Unmapped::from).collect();
    Ok(axum::Json(UnmappedCodes { unmapped }))
}

pub fn carriers_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("listCarriers")
        .tag(TAG)
        .summary("How the carriers' accounts stand")
        .description(
            "Limits, what is used up, pauses with their reason, and how many parcels wait or fail.",
        );
    let example = json!({"carriers": [{
        "account": "CDEK", "codes": ["CDEK"], "adapter": "emulator",
        "limits": {"perSecond": null, "perMinute": 60, "perDay": null, "burst": 1, "concurrency": 10},
        "usedToday": null, "pausedUntil": "2026-11-20T12:01:00Z",
        "pauseReason": "the carrier answered 429: too many calls", "failedInARow": 0,
        "active": 180, "due": 12, "failing": 1,
    }], "unrouted": []});
    let op = docs::answer::<Carriers>(op, "The accounts.", example);
    docs::problems(
        op,
        &[Kind::TooManyRequests, Kind::Internal, Kind::Unavailable],
    )
}

pub fn unmapped_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("listUnmapped")
        .tag(TAG)
        .summary("Carriers' codes that nobody understands yet")
        .description(
            "Codes of events that no adapter has a status for, the most frequent first. Such an event is kept as it came, \
             with the status UNKNOWN.",
        );
    let example = json!({"unmapped": [{
        "carrierCode": "CDEK", "statusRaw": "SOMETHING_NEW", "message": "Something new happened", "count": 17,
        "lastSeenAt": "2026-11-20T12:00:02Z", "trackingId": "1",
    }]});
    let op = docs::answer::<UnmappedCodes>(op, "The codes.", example);
    docs::problems(
        op,
        &[
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}
