//! `GET /carriers`: the state of the accounts at the carriers. `GET /carriers/unmapped`: codes without a status.

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::carriers::offer::Offer;
use crate::clock::Time;
use crate::config::Per;
use crate::http::accounts::{self, AccountOverview, Counts};
use crate::http::{ALWAYS, Serve};
use crate::serving::caller::{Operates, Reads};
use crate::serving::docs;
use crate::serving::extract::Query;
use crate::serving::operation::{Tag, documented, get};
use crate::serving::page::{First, ListQuery};
use crate::serving::problem::Problem;
use crate::store::events;
use crate::store::subscriptions::SubscriptionState;

/// The operations on carriers.
pub const TAG: Tag = Tag {
    name: "carriers",
    description: "The accounts at the carriers: limits, pauses, and the parcels that wait for a call.",
    problems: ALWAYS,
};

/// The accounts at the carriers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Carriers {
    carriers: Vec<AccountAnswer>,
    /// Trackings that are not checked: the configuration has neither a section for their carrier nor `*`.
    unrouted: Vec<Unrouted>,
    /// When the trackings were counted: now, but up to some minutes ago if counting takes long.
    counted_at: Time,
}

/// An account at a carrier: its limits, the sections that share them, and its current state.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Carrier", transform = docs::all_required)]
struct AccountAnswer {
    /// The account's name: the section's `budget`, else the section's own name.
    account: String,
    /// The sections of the configuration that share it; `*` takes every code without one.
    codes: Vec<String>,
    adapter: String,
    limits: LimitsAnswer,
    /// Calls made today, in the time zone of the limit per day; null if there is none.
    used_today: Option<i64>,
    /// The end of the account's pause; null if it is not paused.
    paused_until: Option<Time>,
    /// Why it is paused; empty if it is not.
    pause_reason: String,
    /// Calls in a row that failed for all their numbers.
    failed_in_a_row: u32,
    /// What ten or more different numbers in a row failed alike with: perhaps the account's trouble, so it makes two
    /// calls a second at most. Null if nothing is suspected.
    suspicion: Option<String>,
    /// Trackings that are still checked.
    active: i64,
    /// Of these, those that are due.
    due: i64,
    /// Of these, those whose last check failed.
    failing: i64,
    /// Its sections whose carrier is told by a call to push its news.
    subscriptions: Vec<SubscriptionAnswer>,
}

/// How a section subscribes to what its carrier pushes: the account as a whole, or number by number.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Subscription", transform = docs::all_required)]
struct SubscriptionAnswer {
    /// The section of the configuration.
    section: String,
    /// When a call last subscribed; null if none did yet.
    made_at: Option<Time>,
    /// When the account's subscription ends; null if it does not end, or if each number has its own.
    ends_at: Option<Time>,
    /// When the next call may be made: to renew it, to try again, or for further numbers; null if none is needed.
    next_at: Option<Time>,
    /// Calls in a row that failed.
    failed_in_a_row: u32,
    /// Why the last one failed; empty if it did not.
    error: String,
}

impl SubscriptionAnswer {
    fn of((section, state): (String, Option<SubscriptionState>)) -> Self {
        let state = state.as_ref();
        Self {
            section,
            made_at: state.and_then(|it| it.made_at),
            ends_at: state.and_then(|it| it.ends_at),
            next_at: state.and_then(|it| it.ask_at),
            failed_in_a_row: state.map_or(0, |it| it.fails),
            error: state.map_or_else(String::new, |it| it.error.clone()),
        }
    }
}

/// The most calls; null if there is no limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Limits", transform = docs::all_required)]
pub struct LimitsAnswer {
    per_second: Option<u32>,
    per_minute: Option<u32>,
    per_day: Option<u32>,
    /// The most calls that may go out at once after an idle time.
    burst: u32,
    /// The most calls that may be in flight.
    concurrency: usize,
    /// All limits; they hold at once.
    windows: Vec<WindowAnswer>,
}

/// At most so many calls in any span of time, or in each day or month.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Window", transform = docs::all_required)]
struct WindowAnswer {
    calls: u32,
    /// Such as `5s`, `1m`, `1h`, `day` or `month`.
    per: String,
    /// The time zone of days and months; null for a span of time.
    zone: Option<String>,
    /// Calls made in the current day or month; null for a span of time.
    used: Option<i64>,
}

/// The trackings of a carrier for which the configuration has no account.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unrouted {
    carrier_code: String,
    active: i64,
}

impl LimitsAnswer {
    pub fn of(overview: &AccountOverview) -> Self {
        let account = &overview.account;
        let limits = &account.limits;
        let windows = limits.windows.iter().map(|window| WindowAnswer {
            calls: window.calls,
            per: Per::Span(window.per).to_string(),
            zone: None,
            used: None,
        });
        let quotas = limits.quotas.iter().zip(&overview.used);
        let quotas = quotas.map(|(quota, used)| WindowAnswer {
            calls: quota.calls,
            per: Per::Calendar(quota.period).to_string(),
            zone: Some(quota.zone.name().to_owned()),
            used: Some(*used),
        });
        let windows: Vec<WindowAnswer> = windows.chain(quotas).collect();
        let strictest = |per: &str| {
            let alike = windows.iter().filter(|window| window.per == per);
            alike.map(|window| window.calls).min()
        };
        Self {
            per_second: strictest("1s"),
            per_minute: strictest("1m"),
            per_day: strictest("day"),
            burst: limits.burst,
            concurrency: account.slots,
            windows,
        }
    }
}

impl From<AccountOverview> for AccountAnswer {
    fn from(overview: AccountOverview) -> Self {
        let account = &overview.account;
        let Counts {
            active,
            due,
            failing,
        } = overview.counts;
        let subscriptions = overview.subscriptions.clone().into_iter();
        let subscriptions = subscriptions.map(SubscriptionAnswer::of);
        Self {
            account: account.name.clone(),
            codes: account.codes.clone(),
            adapter: account.adapter.clone(),
            limits: LimitsAnswer::of(&overview),
            used_today: overview.used_today(),
            paused_until: overview.paused_until,
            pause_reason: overview.pause_reason,
            failed_in_a_row: overview.failures.fails,
            suspicion: Some(overview.failures.suspicion).filter(|text| !text.is_empty()),
            active,
            due,
            failing,
            subscriptions: subscriptions.collect(),
        }
    }
}

/// What `GET /carriers` answers: to operators all, to others which codes there are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum CarriersAnswer {
    All(Carriers),
    Codes(CarrierCodes),
}

/// The codes of the carriers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CarrierCodes {
    carriers: Vec<Codes>,
}

/// Codes that one account serves; `*` takes every code without a section.
#[derive(Debug, Serialize, JsonSchema)]
struct Codes {
    codes: Vec<String>,
}

/// List the accounts at the carriers
///
/// Limits, calls used, pauses with their reason, and how many parcels are due or failing. Without an operator's key only the
/// codes that you may name.
#[apply(documented)]
async fn list_carriers(
    caller: Reads,
    State(serve): State<Serve>,
) -> Result<axum::Json<CarriersAnswer>, Problem> {
    if !caller.operator {
        let accounts = serve.routes.accounts();
        let offer = Offer::of(&serve.routes, &caller.shop);
        let codes = accounts.iter().map(|account| {
            let codes = account.codes.iter().filter(|it| offer.has_section(it));
            codes.cloned().collect::<Vec<String>>()
        });
        let carriers = codes.filter(|codes| !codes.is_empty());
        let carriers = carriers.map(|codes| Codes { codes }).collect();
        return Ok(axum::Json(CarriersAnswer::Codes(CarrierCodes { carriers })));
    }
    let overview = accounts::overview(&serve).await?;
    let unrouted = overview
        .unrouted
        .into_iter()
        .map(|(carrier_code, counts)| Unrouted {
            carrier_code,
            active: counts.active,
        });
    Ok(axum::Json(CarriersAnswer::All(Carriers {
        carriers: overview
            .accounts
            .into_iter()
            .map(AccountAnswer::from)
            .collect(),
        unrouted: unrouted.collect(),
        counted_at: overview.counted_at,
    })))
}

/// Codes of carriers for which no adapter has a status.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UnmappedCodes {
    unmapped: Vec<Unmapped>,
}

/// A carrier's code or text for which no adapter has a status.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unmapped {
    carrier_code: String,
    status_raw: String,
    /// The text of one such event.
    message: String,
    /// How many of the newest 100,000 unmapped events have it.
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

/// List carriers' codes without a status
///
/// Codes of events for which no adapter has a status, most frequent first. Such an event is kept as it came, with the status
/// UNKNOWN.
#[apply(documented)]
async fn list_unmapped(
    _: Operates,
    State(serve): State<Serve>,
    Query(query): Query<ListQuery<First, 100, 500>>,
) -> Result<axum::Json<UnmappedCodes>, Problem> {
    let rows = serve.store.unmapped(query.limit()?).await?;
    let unmapped = rows.into_iter().map(Unmapped::from).collect();
    Ok(axum::Json(UnmappedCodes { unmapped }))
}

pub fn router() -> ApiRouter<Serve> {
    let carriers = json!({"carriers": [{
        "account": "CDEK", "codes": ["CDEK"], "adapter": "emulator",
        "limits": {"perSecond": null, "perMinute": 60, "perDay": null, "burst": 1, "concurrency": 10,
                   "windows": [{"calls": 60, "per": "1m", "zone": null, "used": null}]},
        "usedToday": null, "pausedUntil": "2026-11-20T12:01:00Z",
        "pauseReason": "the carrier answered 429: too many calls", "failedInARow": 0, "suspicion": null,
        "active": 180, "due": 12, "failing": 1,
        "subscriptions": [{"section": "CDEK", "madeAt": "2026-11-20T11:00:00Z", "endsAt": null, "nextAt": null,
                           "failedInARow": 0, "error": ""}],
    }], "unrouted": [], "countedAt": "2026-11-20T12:00:00Z"});
    let carriers = list_carriers::operation(TAG).answer("The accounts.", carriers);
    let unmapped = json!({"unmapped": [{
        "carrierCode": "CDEK", "statusRaw": "SOMETHING_NEW", "message": "Something new happened", "count": 17,
        "lastSeenAt": "2026-11-20T12:00:02Z", "trackingId": "1",
    }]});
    let unmapped = list_unmapped::operation(TAG).answer("The codes.", unmapped);
    ApiRouter::new()
        .api_route("/carriers", get(list_carriers, carriers))
        .api_route("/carriers/unmapped", get(list_unmapped, unmapped))
}
